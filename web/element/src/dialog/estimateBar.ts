import { type Estimate, type ExportRequest, SluiceError } from "@sluice/client";
import { h, setText } from "../dom.js";
import type { Texts } from "../strings/texts.js";

/** Delay after the last change before an estimate is requested, in milliseconds. */
const DEBOUNCE_MS = 400;

/** Requests the estimate of an export from the gateway; `signal` aborts the request. */
export type Estimator = (request: ExportRequest, signal: AbortSignal) => Promise<Estimate>;

/** Settings of an {@link EstimateBar}. */
export interface EstimateBarOptions {
  texts: Texts;
  estimate: Estimator;
  /** The price of one export of the dataset, in credits. */
  credits: number;
  /** Receives the error of the last estimate; `undefined` when it succeeded. */
  onError: (error: SluiceError | undefined) => void;
}

/** The expected rows, size, time and price of the request in the dialog. */
export class EstimateBar {
  readonly root: HTMLElement;
  readonly #options: EstimateBarOptions;
  readonly #size = h("span");
  readonly #cost = h("span", { class: "cost" });
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running: AbortController | undefined;

  constructor(options: EstimateBarOptions) {
    this.#options = options;
    this.root = h("div", { class: "estimate", part: "estimate", role: "status" }, this.#size, this.#cost);
    this.#showCost(options.credits);
  }

  /** Estimates another request a little later; `undefined` while the request is incomplete. */
  update(request: ExportRequest | undefined): void {
    this.stop();
    if (!request) {
      setText(this.#size, this.#options.texts.get("noEstimate"));
      return;
    }
    setText(this.#size, this.#options.texts.get("estimating"));
    this.#timer = setTimeout(() => void this.#estimate(request), DEBOUNCE_MS);
  }

  /** Stops the pending estimate. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#running?.abort();
    this.#running = undefined;
  }

  async #estimate(request: ExportRequest): Promise<void> {
    const { texts, estimate, onError } = this.#options;
    const running = new AbortController();
    this.#running = running;
    try {
      const answer = await estimate(request, running.signal);
      if (!running.signal.aborted) {
        setText(this.#size, estimateText(answer, texts));
        this.#showCost(answer.credits);
        onError(undefined);
      }
    } catch (cause) {
      if (!running.signal.aborted) {
        setText(this.#size, texts.get("noEstimate"));
        onError(SluiceError.from(cause));
      }
    }
  }

  #showCost(count: number): void {
    setText(this.#cost, count === 0 ? "" : this.#options.texts.get("cost", { count }));
  }
}

/** Returns an estimate in one line. */
export function estimateText({ rows, exact, bytes, seconds }: Estimate, texts: Texts): string {
  const count = rows == null ? undefined : texts.get("rows", { count: rows });
  const parts = [
    count === undefined || exact ? count : texts.get("about", { what: count }),
    bytes == null ? undefined : texts.format.bytes(bytes),
    seconds == null ? undefined : texts.format.duration(Math.max(1, Math.round(seconds)) * 1000),
  ].filter((part) => part !== undefined);
  return parts.length > 0 ? parts.join(" · ") : texts.get("noEstimate");
}
