import { type Dataset, type ExportRequest, SluiceError } from "@sluice/client";
import { columnsOf, filterRowAt, pointerParts } from "@sluice/client/form";
import { button, h, ICONS, icon } from "../dom.js";
import type { Texts } from "../strings/texts.js";
import { problemText } from "../view/statusText.js";
import { ColumnSection } from "./columnSection.js";
import { type Draft, initialDraft, isUnfinished, ownFilterPointer, requestOf } from "./draft.js";
import { EstimateBar, type Estimator } from "./estimateBar.js";
import { FilterSection } from "./filterSection.js";
import { select } from "./select.js";

/** Settings of an {@link ExportDialog}. */
export interface ExportDialogOptions {
  texts: Texts;
  /** The request of the page, which the user changes. */
  base: ExportRequest;
  loadDataset: (signal: AbortSignal) => Promise<Dataset>;
  estimate: Estimator;
  /** Receives the failure to load the dataset. */
  onFailure?: ((error: SluiceError) => void) | undefined;
  onSubmit: (request: ExportRequest) => void;
  onClose: () => void;
}

/** The dialog in which the user chooses filter, columns and format, and sees an estimate. */
export class ExportDialog {
  readonly root: HTMLDialogElement;
  readonly #options: ExportDialogOptions;
  readonly #title = h("h2", { id: "dialog-title" });
  readonly #body = h("div", { class: "body", part: "dialog-body" });
  readonly #foot = h("footer");
  readonly #error = h("p", { class: "error", role: "alert" });
  readonly #closed = new AbortController();
  readonly #submit: HTMLButtonElement;
  #form: DatasetForm | undefined;

  constructor(options: ExportDialogOptions) {
    this.#options = options;
    const { texts, base } = options;
    this.#title.textContent = texts.get("title", { dataset: base.dataset });
    const close = button({ class: "ghost", part: "dialog-close", "aria-label": texts.get("close") }, () =>
      this.close(),
    );
    close.append(icon(ICONS.close));
    this.#submit = h("button", { type: "submit", class: "submit", part: "submit" }, texts.get("export"));
    const form = h("form", { novalidate: true }, h("header", {}, this.#title, close), this.#body, this.#foot);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#trySubmit();
    });
    this.root = h(
      "dialog",
      { part: "dialog", "aria-labelledby": "dialog-title", lang: texts.language, dir: texts.direction },
      form,
    );
    this.root.addEventListener("close", () => {
      this.#closed.abort();
      this.#form?.estimate.stop();
      options.onClose();
    });
  }

  /** Opens the dialog; its element must be in the document. */
  open(): void {
    this.root.showModal();
    void this.#load();
  }

  /** Closes the dialog and stops its requests. */
  close(): void {
    this.root.close();
  }

  /** Shows why the export did not start, and lets the user change the request. */
  showError(error: SluiceError): void {
    this.#setBusy(false);
    this.#showProblem(error);
    this.#form?.focusInvalid();
  }

  async #load(): Promise<void> {
    const { texts, loadDataset } = this.#options;
    this.#body.replaceChildren(h("p", { class: "hint", role: "status" }, texts.get("loading")));
    this.#foot.replaceChildren();
    try {
      const dataset = await loadDataset(this.#closed.signal);
      if (!this.#closed.signal.aborted) {
        this.#show(dataset);
      }
    } catch (cause) {
      if (!this.#closed.signal.aborted) {
        const retry = button({ class: "small" }, () => void this.#load(), texts.get("retry"));
        const error = SluiceError.from(cause);
        this.#error.textContent = problemText(error, texts);
        this.#options.onFailure?.(error);
        this.#body.replaceChildren(this.#error, h("div", {}, retry));
      }
    }
  }

  #show(dataset: Dataset): void {
    const { texts, base, estimate } = this.#options;
    this.#title.textContent = texts.get("title", { dataset: dataset.title });
    const form = new DatasetForm({
      texts,
      dataset,
      base,
      estimate,
      onError: (error) => this.#showProblem(error),
    });
    this.#form = form;
    this.#error.textContent = "";
    this.#body.replaceChildren(form.filter.root, form.columns.root, form.format, this.#error);
    this.#foot.replaceChildren(form.estimate.root, this.#submit);
    form.format.querySelector("select")?.focus();
    form.changed();
  }

  #showProblem(error: SluiceError | undefined): void {
    const rest = this.#form?.showErrors(error) ?? [];
    const show = error && (error.errors.length === 0 || rest.length > 0);
    this.#error.textContent = show ? [problemText(error, this.#options.texts), ...rest].join(" ") : "";
  }

  #trySubmit(): void {
    const form = this.#form;
    if (!form || this.#submit.getAttribute("aria-disabled") === "true") {
      return;
    }
    const request = form.request();
    if (!request) {
      form.showMissing();
      return;
    }
    this.#setBusy(true);
    this.#options.onSubmit(request);
  }

  #setBusy(busy: boolean): void {
    this.#submit.setAttribute("aria-disabled", String(busy));
    this.#submit.textContent = this.#options.texts.get(busy ? "starting" : "export");
  }
}

/** The form of one dataset. */
class DatasetForm {
  readonly filter: FilterSection;
  readonly columns: ColumnSection;
  readonly format: HTMLElement;
  readonly estimate: EstimateBar;
  readonly #dataset: Dataset;
  readonly #base: ExportRequest;
  #format: string;

  constructor(options: {
    texts: Texts;
    dataset: Dataset;
    base: ExportRequest;
    estimate: Estimator;
    onError: (error: SluiceError | undefined) => void;
  }) {
    const { texts, dataset, base, estimate, onError } = options;
    this.#dataset = dataset;
    this.#base = base;
    const draft = initialDraft(dataset, base);
    this.#format = draft.format;
    const onChange = () => this.changed();
    this.filter = new FilterSection({
      texts,
      columns: dataset.columns.filter((column) => !column.masked),
      hasPageFilter: base.filter !== undefined,
      onChange,
    });
    this.columns = new ColumnSection(texts, columnsOf(dataset, base.template), draft.columns, onChange);
    const formats = dataset.formats.map(
      (name) => [name, texts.fill(texts.strings.formats[name] ?? name)] as const,
    );
    const choose = select({ part: "format" }, formats, draft.format, (name) => {
      this.#format = name;
      onChange();
    });
    this.format = h("label", { class: "field" }, texts.get("format"), choose);
    this.estimate = new EstimateBar({ texts, estimate, credits: dataset.credits, onError });
  }

  /** Returns the request; `undefined` while something is missing. */
  request(): ExportRequest | undefined {
    const draft = this.#draft();
    return isUnfinished(draft) ? undefined : requestOf(this.#dataset, this.#base, draft);
  }

  /** Estimates the changed request. */
  changed(): void {
    this.estimate.update(this.request());
  }

  /** Marks what is missing, and moves the focus to the first of it. */
  showMissing(): void {
    this.filter.showMissing();
    this.columns.showMissing();
    this.focusInvalid();
  }

  /** Moves the focus to the first invalid field, if there is one. */
  focusInvalid(): void {
    (this.filter.invalid ?? this.columns.invalid)?.focus();
  }

  /** Shows the server's errors at their conditions. Returns the texts of all others. */
  showErrors(error: SluiceError | undefined): string[] {
    const rows = new Map<number, string>();
    const rest: string[] = [];
    for (const { pointer, detail } of error?.errors ?? []) {
      const own = ownFilterPointer(pointer, this.#base.filter !== undefined);
      const row = own === undefined ? undefined : filterRowAt(this.filter.rows, own);
      if (row) {
        rows.set(row.key, detail);
      } else {
        rest.push(`${pointerParts(pointer).join(" › ")}: ${detail}`);
      }
    }
    this.filter.showErrors(rows);
    return rest;
  }

  #draft(): Draft {
    const { rows, match } = this.filter;
    return { rows, match, columns: this.columns.choices, format: this.#format };
  }
}
