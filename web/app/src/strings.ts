import type { ExportStatus, Slug } from "@sluice/client";
import {
  formatBytes,
  formatCompact,
  formatCount,
  formatDuration,
  formatShortTime,
  formatTime,
} from "./format.js";

/** What a person reads about a problem: what happened, and what to do next. */
export interface ProblemText {
  title: string;
  next: string;
}

/** Every sentence of the page. To translate it, translate this file. */
export const strings = {
  product: "Sluice",
  tagline: "Export your data. Watch it arrive.",

  signIn: {
    title: "Sign in",
    choose: "This is a local installation. Choose who you are.",
    tenant: (tenant: string) => `of ${tenant}`,
    pasteTitle: "Paste an access token",
    pasteHint: "Your administrator or your identity provider gives you one. It stays in this tab only.",
    tokenLabel: "Access token",
    submit: "Sign in",
    ended: "Your session has ended. Sign in again to go on; exports that run go on without you.",
  },
  header: {
    signOut: "Sign out",
    theme: "Switch between light and dark",
    account: (sub: string, tenant: string) => (tenant ? `${sub} · ${tenant}` : sub),
    menu: "Account",
  },
  connection: {
    live: "Live",
    connecting: "Connecting",
    reconnecting: "Reconnecting",
    offline: "Offline",
    liveHint: "Progress and files are pushed to this page.",
    connectingHint: "Opening the live connection.",
    reconnectingHint: (attempt: number) =>
      `The live connection was lost. Try ${formatCount(attempt)} is under way; meanwhile this page asks every few seconds.`,
    offlineHint: "This device has no network. Everything goes on as soon as it is back.",
    closedHint:
      "The live connection is closed. Press to try again; meanwhile this page asks every few seconds.",
    retry: "Try again",
  },
  credits: {
    balance: (count: number) => `${formatCount(count)} ${count === 1 ? "credit" : "credits"}`,
    held: (count: number) => `${formatCount(count)} held by unfinished exports`,
    next: (iso: string) => `Next one: ${formatShortTime(iso)}`,
    explain: "An export costs one. It comes back when the export fails or is canceled.",
  },
  datasets: {
    title: "What to export",
    empty: "There is nothing that you may export yet. Ask your administrator for access to a dataset.",
    rows: (count: number) => `about ${formatCompact(count)} rows`,
    columns: (count: number) => `${formatCount(count)} columns`,
  },
  form: {
    columns: "Columns",
    columnsHint: "Leave empty for all of them",
    template: "Template",
    format: "Format",
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
    matchAll: "All must hold",
    matchAny: "Any may hold",
    valueMissing: "Enter a value",
    yes: "yes",
    no: "no",
    utc: "UTC",
    submit: "Export",
    cost: (count: number) => `Costs ${formatCount(count)} ${count === 1 ? "credit" : "credits"}`,
    saves: "The file is saved by itself when it is done.",
  },
  operators: {
    eq: "is",
    ne: "is not",
    lt: "less than",
    lte: "at most",
    gt: "more than",
    gte: "at least",
    in: "is one of",
    not_in: "is none of",
    between: "between",
    is_null: "is empty",
    like: "matches (% and _)",
    contains: "contains",
    not_contains: "does not contain",
  },
  exports: {
    title: "Your exports",
    empty: "No exports yet. Choose a dataset and press Export.",
    more: "Show older ones",
    cancel: "Cancel",
    canceling: "Canceling…",
    save: "Save file",
    saveAgain: "Save again",
    back: "All exports",
    requested: (iso: string) => formatTime(iso),
    queued: (before: number) =>
      before === 0 ? "Next in the queue" : `${formatCount(before)} ahead of it in the queue`,
    rowsOf: (rows: number, total: number | null) =>
      total === null || rows >= total
        ? `${formatCount(rows)} rows`
        : `${formatCount(rows)} of ${formatCount(total)} rows`,
    bytes: formatBytes,
    rate: (bytesPerSecond: number) => `${formatBytes(bytesPerSecond)}/s`,
    eta: (ms: number) => `${formatDuration(ms)} left`,
    receiving: (received: number, size: number | undefined) =>
      size === undefined
        ? `Received ${formatBytes(received)}`
        : `Received ${formatBytes(received)} of ${formatBytes(size)}`,
    saved: "Checked and saved",
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
    all: "All",
    none: "None",
    either: (parts: string[]) => parts.join(" or "),
    not: (part: string) => `not (${part})`,
    isNotEmpty: "is not empty",
  },
  status: {
    queued: "Queued",
    dispatched: "Starting",
    running: "Running",
    completed: "Completed",
    failed: "Failed",
    canceled: "Canceled",
    expired: "Expired",
  } satisfies Record<ExportStatus, string>,
  loading: "Loading…",
  retry: "Try again",
  dismiss: "Close",
  trace: (id: string) => `Reference: ${id}`,
  notFoundTitle: "There is nothing at this address",
  notFoundBack: "Go to the start page",
};

/** A sentence for every problem slug, with what to do next. */
export const problemTexts: Record<Slug, ProblemText> = {
  unauthorized: { title: "You are not signed in any more", next: "Sign in again, then repeat what you did." },
  forbidden: {
    title: "You may not do this",
    next: "Your access does not cover it. Ask your administrator for the right to export this dataset.",
  },
  "not-found": {
    title: "This does not exist",
    next: "It may have been deleted, or it belongs to somebody else.",
  },
  "invalid-request": { title: "The request is not valid", next: "Correct what is marked and try again." },
  "unknown-dataset": {
    title: "This dataset is not on offer just now",
    next: "Choose another one, or try again in a minute.",
  },
  "unknown-template": {
    title: "This template does not exist",
    next: "Choose another template and try again.",
  },
  "invalid-filter": { title: "The filter is not valid", next: "Correct what is marked and try again." },
  "credits-exhausted": {
    title: "You have no credits left",
    next: "Wait for the next one, shown beside your balance. Canceling an export that still runs gives its credit back.",
  },
  "too-many-exports": {
    title: "Too many of your exports are still running",
    next: "Wait until one has ended, or cancel one.",
  },
  "idempotency-conflict": {
    title: "The same export is just being started",
    next: "Look at the list of exports in a moment; if it is not there, press Export again.",
  },
  restarted: {
    title: "The file was made anew",
    next: "The page fetches it again from the beginning. There is nothing you need to do.",
  },
  "not-ready": { title: "The file is not finished yet", next: "Wait until the export has completed." },
  expired: { title: "The file was deleted after its time", next: "Export it again to get a fresh one." },
  canceled: {
    title: "The export was canceled",
    next: "Your credit was given back. Export again whenever you like.",
  },
  "export-failed": {
    title: "The export failed",
    next: "Your credit was given back. If trying again does not help, tell your administrator the reference.",
  },
  "too-large": { title: "That is too large", next: "Choose fewer columns or a narrower filter." },
  "rate-limited": { title: "That was too fast", next: "Wait a moment, then try again." },
  unavailable: {
    title: "The service is not available just now",
    next: "Your exports are safe. Try again in a minute.",
  },
  internal: {
    title: "Something failed on our side",
    next: "Try again. If it happens once more, tell your administrator the reference.",
  },
  network: {
    title: "The server can't be reached",
    next: "Check your network. This page goes on when it is back.",
  },
  timeout: { title: "The server did not answer in time", next: "Check your network, then try again." },
  "digest-mismatch": {
    title: "The received file is damaged, so it was not saved",
    next: "Press Save file to fetch it again; that costs nothing.",
  },
  protocol: {
    title: "The server said something this page does not understand",
    next: "Reload the page to get its newest version.",
  },
  aborted: {
    title: "The download was stopped",
    next: "Press Save file to fetch it again; that costs nothing.",
  },
};
