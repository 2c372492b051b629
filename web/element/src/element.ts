import { type ExportRequest, SluiceClient, SluiceError, type TokenProvider } from "@sluice/client";
import { ExportRun, IDLE, isBusy, type RunState } from "@sluice/client/browser";
import { ExportDialog } from "./dialog/exportDialog.js";
import { eventsOf } from "./events.js";
import { InvalidAttribute, toRequest } from "./request.js";
import { scriptBase } from "./scriptBase.js";
import { ExportSettings } from "./settings.js";
import { onRegister, Texts } from "./strings/texts.js";
import { adoptStyles } from "./styles/sheets.js";
import { tokenOf } from "./token.js";
import { ButtonView } from "./view/buttonView.js";

/** How long the button says that the file is saved, in milliseconds. */
const SAVED_MS = 6_000;

/**
 * `<sluice-export>`: a button that exports a dataset and saves the file. `docs/embedding.md` lists its attributes,
 * properties, events, parts and custom properties. A running export continues when the element leaves the document.
 */
export class SluiceExportElement extends ExportSettings {
  static readonly observedAttributes: readonly string[] = ["lang", "disabled", "dialog"];

  #texts = new Texts("en");
  #view: ButtonView | undefined;
  #dialog: ExportDialog | undefined;
  #run: ExportRun | undefined;
  #state: RunState = IDLE;
  #setupError: string | undefined;
  #stopListening: (() => void) | undefined;
  #savedTimer: ReturnType<typeof setTimeout> | undefined;

  /** The state of the export. */
  get state(): RunState {
    return this.#state;
  }

  connectedCallback(): void {
    this.upgradeProperties();
    if (!this.#view) {
      const root = this.attachShadow({ mode: "open" });
      adoptStyles(root);
      this.#view = new ButtonView({ onPress: () => this.#press(), onCancel: () => this.cancel() });
      root.append(this.#view.root);
    }
    this.#stopListening ??= onRegister(() => this.updateTexts());
    this.updateTexts();
  }

  disconnectedCallback(): void {
    this.#stopListening?.();
    this.#stopListening = undefined;
  }

  attributeChangedCallback(name: string): void {
    if (name === "lang") {
      this.updateTexts();
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

  protected override updateTexts(): void {
    const language = this.closest("[lang]")?.getAttribute("lang") || "en";
    this.#texts = new Texts(language, this.strings);
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
}
