import { type ExportRequest, SluiceClient, SluiceError, type TokenProvider } from "@sluice/client";
import { ExportRun, IDLE, isBusy, type RunState } from "@sluice/client/browser";
import { ExportDialog } from "./dialog/exportDialog.js";
import { EventLimit, type EventMap, eventsOf } from "./events.js";
import { reportFailure } from "./faults.js";
import { languageOf, watchLanguage } from "./language.js";
import { InvalidAttribute, toGatewayUrl, toRequest } from "./request.js";
import { scriptBase } from "./scriptBase.js";
import { ExportSettings } from "./settings.js";
import { onRegister, Texts } from "./strings/texts.js";
import { adoptStyles } from "./styles/sheets.js";
import { tokenOf } from "./token.js";
import { ButtonView } from "./view/buttonView.js";

/** How long the button says that the file is saved, in milliseconds. */
const SAVED_MS = 6_000;

/** What the attributes and properties say. */
interface Settings {
  /** Absolute address of the gateway. */
  baseUrl: string;
  request: ExportRequest;
}

/**
 * `<sluice-export>`: a button that exports a dataset and saves the file. `docs/embedding.md` lists its attributes,
 * properties, events, parts and custom properties. A running export continues when the element leaves the document.
 */
export class SluiceExportElement extends ExportSettings {
  static readonly observedAttributes: readonly string[] = [
    ...["lang", "disabled", "dialog", "dataset", "dataset-name", "filter", "columns", "params"],
    ...["format", "template", "compression", "time-zone", "base-url", "token-url"],
  ];

  #texts = new Texts("en");
  #view: ButtonView | undefined;
  #dialog: ExportDialog | undefined;
  #run: ExportRun | undefined;
  /** What the attributes and properties said at the start of the run. */
  #started: string | undefined;
  #state: RunState = IDLE;
  #setupError: InvalidAttribute | undefined;
  readonly #events = new EventLimit(({ name, detail }) => this.#dispatch(name, detail));
  #stopListening: (() => void)[] = [];
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
    const update = () => this.updateTexts();
    this.#stopListening = [onRegister(update), watchLanguage(update)];
    this.updateTexts();
  }

  disconnectedCallback(): void {
    for (const stop of this.#stopListening.splice(0)) {
      stop();
    }
    this.#dialog?.close();
  }

  attributeChangedCallback(name: string): void {
    if (name === "lang") {
      this.updateTexts();
    } else {
      this.settingsChanged();
    }
  }

  /** Moves the focus to the button. */
  override focus(options?: FocusOptions): void {
    this.#view?.focus(options);
  }

  /** Does what a click of the user on the button does. */
  override click(): void {
    if (this.#view) {
      this.#view.click();
    } else {
      super.click();
    }
  }

  /** Starts the export without the dialog. Resolves with the last state, also of a failure. */
  start(): Promise<RunState> {
    return this.#start((settings) => settings.request);
  }

  /** Opens the dialog. Call it from a click, and while the element is in the document. */
  showDialog(): void {
    if (this.#dialog || isBusy(this.#state) || !this.shadowRoot) {
      return;
    }
    const settings = this.#checkedSettings();
    if (!settings) {
      return;
    }
    const base = settings.request;
    const client = new SluiceClient(this.#clientOptions(settings.baseUrl));
    const dialog = new ExportDialog({
      texts: this.#texts,
      base,
      loadDataset: (signal) => client.datasets.get(base.dataset, { signal }),
      estimate: (request, signal) => client.exports.estimate(request, { signal }),
      onSubmit: (request) => void this.#start(() => request),
      onFailure: (error) => this.#report(error),
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

  /** Removes the message of a failure, so that the button says what it said at first. */
  reset(): void {
    this.#setupError = undefined;
    this.#run?.reset();
    this.#render();
  }

  #press(): void {
    if (this.#opensDialog()) {
      this.#run?.reset();
      this.showDialog();
    } else if (this.#state.phase === "failed" && this.#isUnchanged()) {
      void this.#run?.retry();
    } else {
      void this.start();
    }
  }

  /** Returns whether the next press opens the dialog, and does not continue an accepted export. */
  #opensDialog(): boolean {
    const { phase, error } = this.#state;
    if (!this.dialog || isBusy(this.#state) || phase === "saved") {
      return false;
    }
    const continues = this.#run?.resumable && error?.slug !== "aborted" && this.#isUnchanged();
    return !continues;
  }

  /** Returns whether the attributes and properties say the same as at the start of the run. */
  #isUnchanged(): boolean {
    try {
      return this.#started === JSON.stringify(this.#settings());
    } catch {
      return false;
    }
  }

  async #start(requestOf: (settings: Settings) => ExportRequest): Promise<RunState> {
    const settings = isBusy(this.#state) ? undefined : this.#checkedSettings();
    if (!settings) {
      return this.#state;
    }
    this.#started = JSON.stringify(settings);
    this.#run = new ExportRun(this.#clientOptions(settings.baseUrl));
    this.#run.subscribe((state) => this.#apply(state));
    return this.#run.start(requestOf(settings));
  }

  /** Reads the attributes and properties. Shows an invalid one and returns `undefined`. */
  #checkedSettings(): Settings | undefined {
    this.#setupError = undefined;
    try {
      return this.#settings();
    } catch (cause) {
      if (!(cause instanceof InvalidAttribute)) {
        throw cause;
      }
      this.#setupError = cause;
      const error = new SluiceError({ slug: "invalid-request", title: cause.message, cause });
      this.#dispatch("sluice-failed", { error, export: undefined });
      return undefined;
    } finally {
      this.#render();
    }
  }

  #settings(): Settings {
    const { filter, columns, params, format, template, compression, timeZone } = this;
    const { datasetName: dataset, baseUrl, baseUrlSetByScript: setByScript } = this;
    return {
      baseUrl: toGatewayUrl({ baseUrl, setByScript, pageUrl: location.href, scriptBase: scriptBase() }),
      request: toRequest({ dataset, filter, columns, params, format, template, compression, timeZone }),
    };
  }

  /** The address is the one that {@link toGatewayUrl} has checked, so that a later one never gets a token. */
  #clientOptions(baseUrl: string) {
    const getToken: TokenProvider = (request) => {
      const { tokenProvider, token } = this;
      const tokenUrl = this.tokenUrl ?? undefined;
      const page = {
        origin: self.origin,
        documentBase: document.baseURI,
        scriptBase: scriptBase(),
        fetch: fetch.bind(globalThis),
      };
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
    for (const event of eventsOf(before, state)) {
      this.#events.push(event);
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

  #dispatch<K extends keyof EventMap>(name: K, detail: EventMap[K]): void {
    if ("error" in detail) {
      this.#report(detail.error);
    }
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true, composed: true }));
  }

  #report(error: SluiceError): void {
    reportFailure(error, { gateway: this.baseUrl, origin: self.origin });
  }

  protected override settingsChanged(): void {
    if (this.#setupError) {
      this.#setupError = undefined;
      try {
        this.#settings();
      } catch (cause) {
        this.#setupError = cause instanceof InvalidAttribute ? cause : undefined;
      }
    }
    this.#render();
  }

  protected override updateTexts(): void {
    this.#texts = new Texts(languageOf(this) || "en", this.strings);
    this.#render();
  }

  #render(): void {
    const name = this.#setupError?.attribute;
    this.#view?.render({
      state: this.#state,
      texts: this.#texts,
      disabled: this.disabled,
      opensDialog: this.#opensDialog(),
      setupError: name === undefined ? undefined : this.#texts.get("invalidAttribute", { name }),
    });
  }
}
