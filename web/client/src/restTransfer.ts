import { SluiceError } from "./errors.js";
import { exportError } from "./exportError.js";
import type { Export } from "./protocol.js";
import type { DownloadResult, Receiver } from "./receiver.js";
import type { RestClient } from "./restClient.js";

/** Duration of one long poll, in seconds. */
const LONG_POLL_SECONDS = 20;

/** Settings of a {@link RestTransfer}. */
export interface RestTransferOptions {
  /** The export attempt that wrote the received bytes. The download never appends bytes of another attempt to them. */
  attempt: number | undefined;
  /** Maximum time without a byte before the connection counts as dead, in milliseconds. */
  idleTimeoutMs: number;
  /** Called when bytes arrive, with the export attempt that wrote them. */
  onOpen: (attempt: number) => void;
}

/** One transfer of the rest of a file over HTTP: waits for the export to complete, then sends a Range request. */
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
   * Returns `undefined` when it was `preempted`: while the export still runs, only a WebSocket delivers its bytes.
   *
   * @throws SluiceError `network` when the connection breaks and `timeout` when no byte arrives: the next transfer
   *   resumes at the receiver's position; `restarted` when the server has another file.
   */
  async run(signal: AbortSignal, preempted: AbortSignal): Promise<DownloadResult | undefined> {
    const completed = await this.#waitForFile(signal, preempted);
    if (!completed) {
      return undefined;
    }
    const { file, attempt } = completed;
    const { attempt: expected, onOpen } = this.#options;
    if (this.#receiver.position > 0 && expected !== undefined && expected !== attempt) {
      throw new SluiceError({ slug: "restarted", title: "Another export attempt wrote the file" });
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
          throw new SluiceError({ slug: "restarted", title: "The file is shorter than the received part" });
        }
        return this.#receiver.finish(file);
      }
      if (response.status === 200 && this.#receiver.position > 0) {
        await this.#receiver.restart(); // the server has another file than the received part
      }
      onOpen(attempt);
      if (response.body) {
        await this.#read(response.body, stop);
      }
      return this.#receiver.finish(file);
    } finally {
      stop.abort(); // a failed sink must stop the server
    }
  }

  async #read(body: ReadableStream<Uint8Array>, stop: AbortController): Promise<void> {
    const reader = body.getReader();
    for (;;) {
      // the timeout covers the read alone, not a slow sink
      const { done, value } = await this.#withIdleTimeout(reader.read(), stop);
      if (done) {
        return;
      }
      await this.#receiver.accept(this.#receiver.position, value);
    }
  }

  /** Waits for the next data of the connection, up to the idle timeout. */
  async #withIdleTimeout<T>(next: Promise<T>, stop: AbortController): Promise<T> {
    const { idleTimeoutMs } = this.#options;
    const timeout = new DOMException(`no byte within ${idleTimeoutMs} ms`, "TimeoutError");
    const timer = setTimeout(() => stop.abort(timeout), idleTimeoutMs);
    try {
      return await next;
    } catch (cause) {
      throw SluiceError.from(stop.signal.aborted ? stop.signal.reason : cause);
    } finally {
      clearTimeout(timer);
    }
  }

  async #waitForFile(
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
        current = await this.#rest.export(this.#exportId, { ...request, waitSeconds: LONG_POLL_SECONDS });
      }
    } catch (cause) {
      if (preempted.aborted && !signal.aborted && SluiceError.from(cause).slug === "aborted") {
        return undefined;
      }
      throw cause;
    }
  }
}
