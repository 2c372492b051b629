import {
  type ExportRequest,
  type Filter,
  SluiceClient,
  SluiceError,
  type TokenProvider,
} from "@sluice/client";
import { ExportRun, IDLE, isBusy, type RunState } from "@sluice/client/browser";
import { ExportDialog } from "./dialog/exportDialog.js";
import { setAttribute } from "./dom.js";
import { eventsOf } from "./events.js";
import { InvalidAttribute, toRequest } from "./request.js";
import { scriptBase } from "./scriptBase.js";
import type { StringOverrides } from "./strings/strings.js";
import { onRegister, Texts } from "./strings/texts.js";
import { adoptStyles } from "./styles/sheets.js";
import { tokenOf } from "./token.js";
import { ButtonView } from "./view/buttonView.js";

/** How long the button says that the file is saved, in milliseconds. */
const SAVED_MS = 6_000;

/** The properties that a page may set before the script has run. */
const PROPERTIES = [
  ...["dataset", "filter", "columns", "params", "format", "template", "compression", "timeZone"],
  ...["baseUrl", "tokenUrl", "token", "tokenProvider", "strings", "disabled", "dialog"],
] as const;

/** `HTMLElement`, or an empty class on a server, so that modules with the element can be imported there. */
const Base: typeof HTMLElement =
  typeof HTMLElement === "undefined" ? (class {} as unknown as typeof HTMLElement) : HTMLElement;

/**
 * `<sluice-export>`: a button that exports a dataset and saves the file. `docs/embedding.md` lists its attributes,
 * properties, events, parts and custom properties. A running export continues when the element leaves the document.
 */
export class SluiceExportElement extends Base {
  static readonly observedAttributes: readonly string[] = ["lang", "disabled", "dialog"];

  // private fields, because a public field would overwrite what the page set before the upgrade
  #tokenProvider: TokenProvider | undefined;
  #token: string | undefined;
  #filter: string | Filter | null | undefined;
  #columns: string | readonly string[] | null | undefined;
  #params: string | Record<string, unknown> | null | undefined;
  #strings: StringOverrides = {};
  #texts = new Texts("en");
  #view: ButtonView | undefined;
  #dialog: ExportDialog | undefined;
  #run: ExportRun | undefined;
  #state: RunState = IDLE;
  #setupError: string | undefined;
  #stopListening: (() => void) | undefined;
  #savedTimer: ReturnType<typeof setTimeout> | undefined;

  /** The map of `data-*` attributes, as of every element. A text sets the attribute `dataset`, as frameworks do. */
  override get dataset(): DOMStringMap {
    return super.dataset;
  }
  override set dataset(name: string) {
    this.setAttribute("dataset", name);
  }

  /** The filter: an object, or JSON. */
  get filter(): string | Filter | null {
    return this.#filter === undefined ? this.getAttribute("filter") : this.#filter;
  }
  set filter(value: string | Filter | null | undefined) {
    this.#filter = value;
  }

  /** The columns, in the order of the file: names, or a text as in the attribute. */
  get columns(): string | readonly string[] | null {
    return this.#columns === undefined ? this.getAttribute("columns") : this.#columns;
  }
  set columns(value: string | readonly string[] | null | undefined) {
    this.#columns = value;
  }

  /** The parameters of the dataset: an object, or JSON. */
  get params(): string | Record<string, unknown> | null {
    return this.#params === undefined ? this.getAttribute("params") : this.#params;
  }
  set params(value: string | Record<string, unknown> | null | undefined) {
    this.#params = value;
  }

  /** The format of the file, such as `xlsx`. */
  get format(): string | null {
    return this.getAttribute("format");
  }
  set format(value: string | null | undefined) {
    setAttribute(this, "format", value ?? undefined);
  }

  /** The template of the dataset. */
  get template(): string | null {
    return this.getAttribute("template");
  }
  set template(value: string | null | undefined) {
    setAttribute(this, "template", value ?? undefined);
  }

  /** The compression of the file, such as `gzip`. */
  get compression(): string | null {
    return this.getAttribute("compression");
  }
  set compression(value: string | null | undefined) {
    setAttribute(this, "compression", value ?? undefined);
  }

  /** The time zone of moments relative to now, such as `Europe/Berlin`. */
  get timeZone(): string | null {
    return this.getAttribute("time-zone");
  }
  set timeZone(value: string | null | undefined) {
    setAttribute(this, "time-zone", value ?? undefined);
  }

  /** The address of the gateway. Default: the gateway that served the script. */
  get baseUrl(): string {
    return this.getAttribute("base-url") ?? scriptBase() ?? "";
  }
  set baseUrl(value: string | null | undefined) {
    setAttribute(this, "base-url", value ?? undefined);
  }

  /** Address of the page's own server that answers a POST with `{"token": "…"}` for the signed-in user. */
  get tokenUrl(): string | null {
    return this.getAttribute("token-url");
  }
  set tokenUrl(value: string | null | undefined) {
    setAttribute(this, "token-url", value ?? undefined);
  }

  /** Returns the token of the current user. Comes before {@link token}. */
  get tokenProvider(): TokenProvider | undefined {
    return this.#tokenProvider;
  }
  set tokenProvider(value: TokenProvider | null | undefined) {
    this.#tokenProvider = value ?? undefined;
  }

  /** The token of the current user. It has no attribute, because attributes end up in logs and snapshots. */
  get token(): string | undefined {
    return this.#token;
  }
  set token(value: string | null | undefined) {
    this.#token = value ?? undefined;
  }

  /** Whether pressing the button opens a dialog with filter, columns, format and estimate. */
  get dialog(): boolean {
    return this.hasAttribute("dialog");
  }
  set dialog(value: boolean) {
    this.toggleAttribute("dialog", Boolean(value));
  }

  /** Whether the button can't be pressed. */
  get disabled(): boolean {
    return this.hasAttribute("disabled");
  }
  set disabled(value: boolean) {
    this.toggleAttribute("disabled", Boolean(value));
  }

  /** The page's own texts, which replace the shipped ones. */
  get strings(): StringOverrides {
    return this.#strings;
  }
  set strings(value: StringOverrides | null | undefined) {
    this.#strings = value ?? {};
    this.#updateTexts();
  }

  /** The state of the export. */
  get state(): RunState {
    return this.#state;
  }

  connectedCallback(): void {
    this.#upgradeProperties();
    if (!this.#view) {
      const root = this.attachShadow({ mode: "open" });
      adoptStyles(root);
      this.#view = new ButtonView({ onPress: () => this.#press(), onCancel: () => this.cancel() });
      root.append(this.#view.root);
    }
    this.#stopListening ??= onRegister(() => this.#updateTexts());
    this.#updateTexts();
  }

  disconnectedCallback(): void {
    this.#stopListening?.();
    this.#stopListening = undefined;
  }

  attributeChangedCallback(name: string): void {
    if (name === "lang") {
      this.#updateTexts();
    } else {
      this.#render();
    }
  }

  /** Moves the focus to the button. */
  override focus(options?: FocusOptions): void {
    this.#view?.focus(options);
  }

  /** Starts the export without the dialog. Resolves with the last state, also of a failure. */
  start(): Promise<RunState> {
    return this.#start(() => this.#request());
  }

  /** Opens the dialog. Call it from a click, and while the element is in the document. */
  showDialog(): void {
    if (this.#dialog || isBusy(this.#state) || !this.shadowRoot) {
      return;
    }
    const base = this.#checked(() => this.#request());
    if (!base) {
      return;
    }
    const client = this.#client();
    const dialog = new ExportDialog({
      texts: this.#texts,
      base,
      loadDataset: (signal) => client.datasets.get(base.dataset, { signal }),
      estimate: (request, signal) => client.exports.estimate(request, { signal }),
      onSubmit: (request) => void this.#start(() => request),
      onClose: () => {
        this.#dialog = undefined;
        dialog.root.remove();
      },
    });
    this.#dialog = dialog;
    this.shadowRoot.append(dialog.root);
    dialog.open();
  }

  /** Cancels the running export. */
  cancel(): void {
    this.#run?.cancel();
  }

  #press(): void {
    if (this.#opensDialog()) {
      this.#run?.reset();
      this.showDialog();
    } else if (this.#state.phase === "failed" && this.#run) {
      void this.#run.retry();
    } else {
      void this.start();
    }
  }

  /** Returns whether the next press opens the dialog: also after a refusal, but not to repeat an accepted export. */
  #opensDialog(): boolean {
    const { phase, export: item } = this.#state;
    return this.dialog && !(phase === "failed" && item);
  }

  async #start(requestOf: () => ExportRequest): Promise<RunState> {
    const request = isBusy(this.#state) ? undefined : this.#checked(requestOf);
    if (!request) {
      return this.#state;
    }
    this.#run = new ExportRun(this.#clientOptions());
    this.#run.subscribe((state) => this.#apply(state));
    return this.#run.start(request);
  }

  /** Runs a function that reads attributes. Shows an invalid one and returns `undefined`. */
  #checked<T>(read: () => T): T | undefined {
    this.#setupError = undefined;
    try {
      return read();
    } catch (cause) {
      if (!(cause instanceof InvalidAttribute)) {
        throw cause;
      }
      this.#setupError = this.#texts.get("invalidAttribute", { name: cause.attribute });
      const error = new SluiceError({ slug: "invalid-request", title: cause.message, cause });
      this.#dispatch("sluice-failed", { error, export: undefined });
      return undefined;
    } finally {
      this.#render();
    }
  }

  #request(): ExportRequest {
    if (!URL.canParse(this.baseUrl, location.href)) {
      throw new InvalidAttribute("base-url");
    }
    const { filter, columns, params, format, template, compression, timeZone } = this;
    const dataset = this.getAttribute("dataset");
    return toRequest({ dataset, filter, columns, params, format, template, compression, timeZone });
  }

  #client(): SluiceClient {
    return new SluiceClient(this.#clientOptions());
  }

  #clientOptions() {
    const baseUrl = new URL(this.baseUrl, location.href).href;
    const getToken: TokenProvider = (request) => {
      const { tokenProvider, token } = this;
      const tokenUrl = this.tokenUrl ?? undefined;
      const page = { pageUrl: document.baseURI, scriptBase: scriptBase(), fetch: fetch.bind(globalThis) };
      return tokenOf({ tokenProvider, token, tokenUrl, baseUrl }, request, page);
    };
    return { baseUrl, getToken };
  }

  #apply(state: RunState): void {
    const before = this.#state;
    this.#state = state;
    this.#render();
    this.#updateDialog(state);
    clearTimeout(this.#savedTimer);
    if (state.phase === "saved") {
      this.#savedTimer = setTimeout(() => this.#run?.reset(), SAVED_MS);
    }
    for (const { name, detail } of eventsOf(before, state)) {
      this.#dispatch(name, detail);
    }
  }

  /** Closes the dialog when the server has accepted the export, or shows the refusal in it. */
  #updateDialog({ phase, export: item, error }: RunState): void {
    if (this.#dialog && item) {
      this.#dialog.close();
    } else if (this.#dialog && phase === "failed" && error) {
      this.#dialog.showError(error);
    }
  }

  #dispatch(name: string, detail: object): void {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  #updateTexts(): void {
    const language = this.closest("[lang]")?.getAttribute("lang") || "en";
    this.#texts = new Texts(language, this.#strings);
    this.#render();
  }

  #render(): void {
    this.#view?.render({
      state: this.#state,
      texts: this.#texts,
      disabled: this.disabled,
      opensDialog: this.#opensDialog(),
      setupError: this.#setupError,
    });
  }

  /** Sets the properties again that the page set before this class was known, so that the setters see them. */
  #upgradeProperties(): void {
    const own = this as unknown as Record<string, unknown>;
    for (const name of PROPERTIES) {
      if (Object.hasOwn(own, name)) {
        const value = own[name];
        delete own[name];
        own[name] = value;
      }
    }
  }
}
