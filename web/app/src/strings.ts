import type { ApiKey, Column, Export, ExportStatus, Slug } from "@sluice/client";
import { formatNames, operatorNames, problemTitles, waitingNames } from "@sluice/client/form";
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatDay,
  formatDuration,
  formatPercent,
  formatShortTime,
  formatTime,
} from "./format.js";
import { operateStrings } from "./operate/strings.js";
import type { SaveErrorReason } from "./saving/saveError.js";
import type { DownloadMethod, SaveMethod } from "./saving/saveMethod.js";

/** Text about a problem: the event, and the next step for the user. */
export interface ProblemText {
  title: string;
  next: string;
}

/**
 * Every text of the page. To translate the page, translate this file; the SDK has the names of formats and operators, and
 * what has happened in a problem, in English and German.
 */
export const strings = {
  product: "Sluice",
  tagline: "Export your data. Watch it arrive.",

  signIn: {
    title: "Sign in",
    choose: "This is a local installation. Choose who you are.",
    tenant: (tenant: string) => `of ${tenant}`,
    linkTitle: "Open your sign-in link",
    linkUsed: "This sign-in link was used or has expired",
    linkHint:
      "Sluice prints a link when it starts. It works once and signs in only the browser that opens it. For another one, run `sluice sign-in-link`.",
    pasteTitle: "Paste an access token",
    pasteHint: "Your administrator or your identity provider gives you one. It stays in this tab only.",
    tokenLabel: "Access token",
    submit: "Sign in",
    issuerHint: (host: string) => `You sign in at ${host}, and come back here afterwards.`,
    ended: "Your session has ended. Sign in again to continue; running exports continue without you.",
  },
  header: {
    home: "Sluice, start page",
    skip: "Skip to the content",
    notifyOn: "Notify me in the background",
    notifyOff: "Stop notifying me",
    notifyDenied: "Notifications are blocked in this browser's settings for this page",
    signOut: "Sign out",
    theme: "Switch between light and dark",
    account: (sub: string, tenant: string) => (tenant ? `${sub} · ${tenant}` : sub),
    menu: "Account",
  },
  connection: {
    live: "Live",
    connecting: "Connecting",
    reconnecting: "Reconnecting",
    limited: "Limited",
    offline: "Offline",
    liveHint: "Progress and files are pushed to this page.",
    connectingHint: "Opening the live connection.",
    reconnectingHint: (attempt: number) =>
      `The live connection was lost. Attempt ${formatCount(attempt)} to reconnect is running; meanwhile this page checks for updates every few seconds.`,
    limitedHint:
      "The network between you and the server lets no live connection through. Updates arrive a little later; files arrive as always.",
    offlineHint: "This device has no network. Everything continues as soon as it is back.",
    closedHint:
      "The live connection is closed. Press to try again; meanwhile this page checks for updates every few seconds.",
    tooManyHint:
      "You have too many of these pages open. Close some, then press to try again; meanwhile this page checks for updates every few seconds.",
    retry: "Try again",
  },
  credits: {
    title: "Credits",
    balance: (count: number) => `${formatCount(count)} ${count === 1 ? "credit" : "credits"}`,
    open: (count: number) => `${formatCount(count)} ${count === 1 ? "credit" : "credits"}. Show the account`,
    unknown: "Credits: ?",
    openUnknown: "Your credits are not known right now. Show why",
    available: "Available",
    heldLabel: "Reserved for unfinished exports",
    next: (iso: string, leftMs: number) =>
      `The next credit comes in ${formatDuration(leftMs)}, on ${formatShortTime(iso)}.`,
    explain: "An export costs one. It comes back when the export fails or is canceled.",
    noEntries: "Nothing has happened on this account yet.",
    when: "When",
    what: "What",
    amount: "Credits",
    showExport: "show",
    kinds: {
      grant: "Given",
      hold: "Reserved",
      capture: "Spent",
      release: "Given back",
      adjustment: "Corrected",
    } as Record<string, string>,
  },
  keys: {
    title: "API keys",
    explain:
      "Programs use a key instead of your sign-in. A key belongs to your organization, acts as itself with exports and credits of its own, and can do no more than you can.",
    forbidden:
      "Your sign-in may not manage API keys. Ask your administrator for the scope “keys:manage”, then sign in again.",
    name: "Name",
    nameHint: "What the key is for",
    scopes: "Scopes",
    scopesHint: "What the key may export: export:* for every dataset, or export: and a dataset's name",
    lifetime: "Expires",
    lifetimes: {
      "7": "in 7 days",
      "30": "in 30 days",
      "90": "in 90 days",
      "365": "in a year",
      never: "never",
    },
    create: "Create key",
    newTitle: (name: string) => `The key “${name}” was created`,
    newWarning:
      "Copy it now and store it in a safe place. It is not shown again: if you lose it, delete it and create another one.",
    copy: "Copy key",
    copied: "Copied",
    done: "Done",
    empty: "There are no API keys yet.",
    facts: ({ created_by, created_at, last_used_at, expires_at }: ApiKey) =>
      [
        `Created by ${created_by} on ${formatShortTime(created_at)}`,
        last_used_at ? `last used ${formatShortTime(last_used_at)}` : "never used",
        expires_at ? `expires ${formatShortTime(expires_at)}` : "does not expire",
      ].join(" · "),
    delete: "Delete",
    deleteNamed: (name: string) => `Delete the key ${name}`,
    confirm:
      "Programs with this key are refused at once, and so are the keys that it created. This can't be undone.",
    confirmDelete: "Delete this key",
    keep: "Keep it",
  },
  datasets: {
    title: "What to export",
    emptyTitle: "No datasets yet",
    empty:
      "Ask your administrator for access to a dataset. If you run this installation, add a catalog (docs/catalog.md shows how), then reload this page.",
    unknown: (name: string) => `There is no dataset called “${name}” that you may export.`,
    search: "Search datasets",
    found: (shown: number, all: number) =>
      shown === 0
        ? "No dataset matches these words."
        : `${formatCount(shown)} of ${formatCount(all)} datasets`,
    rows: (count: number) => `about ${formatCompact(count)} ${count === 1 ? "row" : "rows"}`,
    columns: (count: number) => `${formatCount(count)} ${count === 1 ? "column" : "columns"}`,
  },
  columnTypes: {
    string: "text",
    int: "whole number",
    float: "number",
    decimal: "exact number",
    bool: "yes or no",
    date: "date",
    datetime: "date and time",
    time: "time of day",
  } as Record<string, string>,
  form: {
    columns: "Columns",
    columnsOf: (chosen: number, all: number) =>
      chosen === all
        ? `Columns (${formatCount(all)})`
        : `Columns (${formatCount(chosen)} of ${formatCount(all)})`,
    columnFacts: ({ type, masked, nullable }: Column) =>
      [
        strings.columnTypes[type] ?? type,
        masked ? "masked for you" : undefined,
        nullable ? "may be empty" : undefined,
      ]
        .filter(Boolean)
        .join(" · "),
    moveUp: (column: string) => `Move ${column} up`,
    moveDown: (column: string) => `Move ${column} down`,
    columnMoved: (column: string, position: number, all: number) =>
      `${column} is now column ${formatCount(position)} of ${formatCount(all)}`,
    preview: "First rows",
    noPreview: "The first rows show here as soon as the form is complete.",
    previewLater: "The first rows show here once this is fixed.",
    emptyPreview: "No row matches. The file would have a header and nothing more.",
    null: "empty",
    notShown: "…",
    about: (what: string) => `About ${what}`,
    atMost: (what: string) => (what ? `At most ${what}` : ""),
    noEstimate: "Size not known yet",
    joined: "This same export is already running. Asking again has cost nothing.",
    saveLocation: "Save to",
    saveLocations: { downloads: "Downloads", file: "A place I choose" },
    template: "Template",
    format: "Format",
    formatName: (name: string) => formatNames.en[name] ?? name,
    /** What the built-in templates are for. */
    templates: {
      plain: "Plain: for loading by programs",
      default: "Default: with both timestamps beside the table",
      spreadsheet: "Spreadsheet: for opening in a spreadsheet",
    } as Record<string, string>,
    /** What the template `default` is for, in a format with comment lines. */
    defaultAsComments: "Default: with both timestamps as comment lines",
    compression: "Compression",
    noCompression: "None",
    params: "Parameters",
    listHint: "Type a value and press Enter",
    filters: "Filter",
    filtersEmpty: "No filter: every row is exported.",
    addFilter: "Add filter",
    removeFilter: "Remove this filter",
    column: "Column",
    operator: "Operator",
    value: "Value",
    from: "From",
    to: "To",
    matchAll: "All must match",
    matchAny: "Any may match",
    valueMissing: "Enter a value",
    yes: "yes",
    no: "no",
    utc: "UTC",
    submit: "Export",
    cost: (count: number) => `Costs ${formatCount(count)} ${count === 1 ? "credit" : "credits"}`,
    savesToDownloads: (method: DownloadMethod | undefined) => {
      const base = "Your browser gets the file for its downloads";
      switch (method) {
        case undefined:
          return `${base}.`;
        case "private":
          return `${base} as soon as it is complete and checked. A reload does not lose it.`;
        case "memory":
          return `${base} as soon as it is complete and checked. Leave this page open until then.`;
        case "stream":
          return `${base} while the export runs. Leave this page open until it is complete and checked.`;
      }
    },
    savesToFile: "You choose a file, and it is written there while the export runs. Best for large ones.",
  },
  operators: operatorNames.en,
  exports: {
    title: "Your exports",
    emptyTitle: "No exports yet",
    empty:
      "Choose a dataset and press Export. Progress shows here, and your browser gets the file by itself.",
    all: "History",
    more: "Show older ones",
    again: "Export again",
    continue: "Continue",
    cancel: "Cancel",
    canceling: "Canceling…",
    save: "Save file",
    saveAgain: "Save again",
    back: "All exports",
    requested: (iso: string) => formatTime(iso),
    queued: (before: number) =>
      before === 0
        ? "Next in the queue"
        : `${formatCount(before)} ${before === 1 ? "export" : "exports"} ahead in the queue`,
    preparing: "Starting",
    waitingFor: waitingNames.en,
    ended: {
      unchanged: "The rows had not changed; no file, no credit",
      canceled: "Canceled; the credit was given back",
      failed: "Failed; the credit was given back",
      expired: problemTitles.en.expired,
    } as Partial<Record<ExportStatus, string>>,
    percent: formatPercent,
    rowCount: (rows: number) => `${formatCount(rows)} ${rows === 1 ? "row" : "rows"}`,
    throughput: (last: number, top: number) =>
      `Throughput now ${formatBytes(last)}/s, at most ${formatBytes(top)}/s`,
    rowsOf: (rows: number, total: number | null) =>
      total === null || rows >= total
        ? strings.exports.rowCount(rows)
        : `${formatCount(rows)} of ${strings.exports.rowCount(total)}`,
    bytes: formatBytes,
    rate: (bytesPerSecond: number) => `${formatBytes(bytesPerSecond)}/s`,
    eta: (ms: number) => `${formatDuration(ms)} left`,
    progressLabel: "Progress of this export",
    expires: (iso: string) => `Kept until ${formatTime(iso)}`,
    field: {
      id: "Id",
      dataset: "Dataset",
      filter: "Filter",
      columns: "Columns",
      params: "Parameters",
      requested: "Requested",
      completed: "Completed",
      file: "File",
      rows: "Rows",
      size: "Size",
      digest: "SHA-256",
    },
    allColumns: "All",
    none: "None",
    either: (parts: string[]) => parts.join(" or "),
    not: (part: string) => `not (${part})`,
    isNotNull: "has a value",
    emptyText: "“”",
    pageTitle: (dataset: string | undefined) => (dataset ? `Export of ${dataset}` : "Export"),
    stop: "Stop",
  },
  saving: {
    progressLabel: "Progress of the download",
    receiving: (received: number, size: number | undefined) =>
      size === undefined
        ? `Received ${formatBytes(received)}`
        : `Received ${formatBytes(received)} of ${formatBytes(size)}`,
    waiting: (received: number) =>
      `Connection lost at ${formatBytes(received)}. Reconnecting; the download continues from there by itself.`,
    inMemory:
      "This browser keeps the file in memory until it is complete, up to 256 MB. Leave the page open.",
    paused: "Started earlier. Press Continue to allow this page to write the file again.",
    saved: {
      private: "Checked, and handed to your browser",
      stream: "Checked, and handed to your browser",
      memory: "Checked, and handed to your browser",
      file: "Checked, and written to the file you chose",
    } satisfies Record<SaveMethod, string>,
    missing: "Not in your downloads? Press Save again.",
  },
  history: {
    title: "History",
    search: "Search",
    searchHint: "Name, filter, id",
    status: "Status",
    anyStatus: "Any",
    dataset: "Dataset",
    anyDataset: "Any",
    found: (shown: number, all: number, more: boolean) =>
      `${formatCount(shown)} of ${formatCount(all)}${more ? " loaded" : ""} ${all === 1 ? "export" : "exports"}`,
    chart: (count: number, days: number) =>
      `${formatCount(count)} ${count === 1 ? "export" : "exports"} in the last ${formatCount(days)} days`,
    chartOfNewest: (count: number) =>
      count === 1 ? "The newest export only" : `The newest ${formatCount(count)} exports only`,
    day: (at: number, done: number, other: number) =>
      `${formatDay(at)}: ${formatCount(done)} completed, ${formatCount(other)} not completed`,
    done: "Completed",
    other: "Not completed",
  },
  operate: operateStrings,
  notify: {
    title: (item: Export) => `${item.file?.name ?? item.dataset}: ${strings.status[item.status]}`,
    body: (item: Export) =>
      item.file
        ? `${strings.exports.rowCount(item.file.rows)}, ${formatBytes(item.file.size)}`
        : (item.problem?.detail ?? ""),
    liveRegion: (item: Export) =>
      `The export of ${item.dataset} has ended: ${strings.status[item.status]}${item.file ? `, ${strings.exports.rowCount(item.file.rows)}` : ""}.`,
    pageTitle: (name: string, running: number, part: number) =>
      [running === 0 ? "" : part > 0 ? formatPercent(part) : "…", name, strings.product]
        .filter(Boolean)
        .join(" · "),
  },
  status: {
    queued: "Queued",
    dispatched: "Starting",
    running: "Running",
    completed: "Completed",
    unchanged: "Unchanged",
    failed: "Failed",
    canceled: "Canceled",
    expired: "Expired",
  } satisfies Record<ExportStatus, string>,
  failed: {
    title: "This page has failed",
    next: "Your exports are safe and continue. Reload the page; if it fails again, tell your administrator what you did.",
  },
  reload: "Reload the page",
  loading: "Loading…",
  retry: "Try again",
  dismiss: "Close",
  trace: (id: string) => `Reference: ${id}`,
  notFoundTitle: "There is nothing at this address",
  notFoundBack: "Go to the start page",
};

/** What the user can do next, for every problem slug. */
const nextSteps: Record<Slug, string> = {
  unauthorized: "Sign in again, then repeat what you did.",
  forbidden: "Your access does not cover it. Ask your administrator for the right to export this dataset.",
  "not-found": "It may have been deleted, or it belongs to another user.",
  "invalid-request": "Correct what is marked and try again.",
  "unknown-dataset": "Choose another one, or try again in a minute.",
  "unknown-template": "Choose another template and try again.",
  "invalid-filter": "Correct what is marked and try again.",
  "credits-exhausted":
    "Press your balance to see when the next one comes. Canceling an export that still runs gives its credit back.",
  "too-many-exports": "Wait until one has ended, or cancel one.",
  "idempotency-conflict": "Look at the list of exports in a moment; if it is not there, press Export again.",
  restarted: "The page fetches the file again from the beginning. There is nothing you need to do.",
  "not-ready": "Wait until the export has completed.",
  expired: "Export it again to get a fresh one.",
  canceled: "Your credit was given back. Export again whenever you like.",
  "export-failed":
    "Your credit was given back. If trying again does not help, tell your administrator the reference.",
  "too-large":
    "Choose fewer columns or a narrower filter; or save to a place that you choose, where your browser can.",
  "rate-limited": "Wait a moment, then try again.",
  unavailable:
    "Your exports are safe. This page continues by itself when it is back; or try again in a minute.",
  internal: "Try again. If it happens once more, tell your administrator the reference.",
  network: "Check your network. This page continues when it is back.",
  timeout: "Check your network, then try again.",
  "digest-mismatch": "Press Save file to fetch it again; that costs nothing.",
  protocol: "Reload the page to get its newest version.",
  sink: "Check that the place you chose is still there, then save it again; that costs nothing.",
  "no-room": "Make room, then save the file again; that costs nothing.",
  "cancel-unconfirmed": "The export may still be running. Look at the list of your exports.",
  aborted: "Press Save file to fetch it again; that costs nothing.",
};

/** Returns the text about a problem. */
export function problemText(slug: Slug): ProblemText {
  return { title: problemTitles.en[slug], next: nextSteps[slug] };
}

/** Text for every reason of a failed save. */
export const saveErrorTexts: Record<SaveErrorReason, ProblemText> = {
  outdated: {
    title: "This page is older than the server",
    next: "Reload it to get its newest version. Your export continues, and its file is saved then.",
  },
  "file-replaced": {
    title: "The export had to start again while its file was being saved",
    next: "The file in your downloads is incomplete: delete it and save again. That costs nothing.",
  },
  "stream-lost": {
    title: "The browser stopped this download",
    next: "The file in your downloads is incomplete: delete it and save again. That costs nothing.",
  },
};
