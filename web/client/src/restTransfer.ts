import { SluiceError } from "./errors.js";
import { exportError } from "./exportError.js";
import type { Export } from "./protocol.js";
import type { DownloadResult, Receiver } from "./receiver.js";
import type { RestClient } from "./restClient.js";

/** Seconds of one long poll. */
const WAIT_SECONDS = 20;

/** Settings of a {@link RestTransfer}. */
export interface RestTransferOptions {
  /** The try that made the bytes which the receiver has: no others may follow them. */
  attempt: number | undefined;
  /** How long no byte may come before the line counts as dead, in milliseconds. */
  idleTimeoutMs: number;
  /** Bytes come from now on, made by this try. */
  onOpen: (attempt: number) => void;
}

/** One try at fetching the rest of a file over HTTP: waits for the export to complete, then asks for a range. */
export class RestTransfer {
  readonly #rest: RestClient;
  readonly #exportId: string;
  readonly #receiver: Receiver;
  readonly #options: RestTransferOptions;

  constructor(rest: RestClient, exportId: string, receiver: Receiver, options: RestTransferOptions) {
    this.#rest = rest;
    this.#exportId = exportId;
    this.#receiver = receiver;
    this.#options = options;
  }

  /**
   * `undefined` when it was `preempted`: while the export is still running, a socket brings its bytes sooner.
   *
   * @throws SluiceError `network` when cut off and `timeout` when nothing comes: the next try goes on at the receiver's
   *   position; `restarted` when the file is not the one that was begun.
   */
  async run(signal: AbortSignal, preempted: AbortSignal): Promise<DownloadResult | undefined> {
    const completed = await this.#completed(signal, preempted);
    if (!completed) {
      return undefined;
    }
    const { file, attempt } = completed;
    const { attempt: begun, onOpen } = this.#options;
    if (this.#receiver.position > 0 && begun !== undefined && begun !== attempt) {
      throw new SluiceError({ slug: "restarted", title: "The file was made anew" });
    }
    const stop = new AbortController();
    try {
      const request = this.#rest.file(this.#exportId, {
        offset: this.#receiver.position,
        etag: `"${file.sha256}"`,
        signal: AbortSignal.any([signal, stop.signal]),
      });
      const response = await this.#withIdleTimeout(request, stop);
      if (response.status === 416) {
        if (this.#receiver.position > file.size) {
          throw new SluiceError({ slug: "restarted", title: "The file is shorter than what was received" });
        }
        return this.#receiver.finish(file);
      }
      if (response.status === 200 && this.#receiver.position > 0) {
        await this.#receiver.restart(); // the server has another file than the one that was begun
      }
      onOpen(attempt);
      if (response.body) {
        await this.#read(response.body, stop);
      }
      return this.#receiver.finish(file);
    } finally {
      stop.abort(); // what was not read is not wanted: a sink that fails must not leave the server sending
    }
  }

  async #read(body: ReadableStream<Uint8Array>, stop: AbortController): Promise<void> {
    const reader = body.getReader();
    for (;;) {
      const { done, value } = await this.#withIdleTimeout(reader.read(), stop); // a slow sink is no silent line
      if (done) {
        return;
      }
      await this.#receiver.accept(this.#receiver.position, value);
    }
  }

  /** What the line brings next, unless it is silent for too long. */
  async #withIdleTimeout<T>(next: Promise<T>, stop: AbortController): Promise<T> {
    const { idleTimeoutMs } = this.#options;
    const late = new DOMException(`no byte within ${idleTimeoutMs} ms`, "TimeoutError");
    const timer = setTimeout(() => stop.abort(late), idleTimeoutMs);
    try {
      return await next;
    } catch (cause) {
      throw SluiceError.from(stop.signal.aborted ? stop.signal.reason : cause);
    } finally {
      clearTimeout(timer);
    }
  }

  async #completed(
    signal: AbortSignal,
    preempted: AbortSignal,
  ): Promise<{ file: NonNullable<Export["file"]>; attempt: number } | undefined> {
    const request = { signal: AbortSignal.any([signal, preempted]) };
    try {
      let current = await this.#rest.export(this.#exportId, request);
      for (;;) {
        const error = exportError(current);
        if (error) {
          throw error;
        }
        if (current.file) {
          return { file: current.file, attempt: current.attempt };
        }
        current = await this.#rest.export(this.#exportId, { ...request, waitSeconds: WAIT_SECONDS });
      }
    } catch (cause) {
      if (preempted.aborted && !signal.aborted && SluiceError.from(cause).slug === "aborted") {
        return undefined;
      }
      throw cause;
    }
  }
}
