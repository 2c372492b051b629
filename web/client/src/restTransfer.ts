import { endedBadly } from "./ended.js";
import { SluiceError } from "./errors.js";
import type { Export } from "./protocol.js";
import type { DownloadResult, Receiver } from "./receiver.js";
import type { RestClient } from "./rest.js";

/** Seconds of one long poll. */
const WAIT_SECONDS = 20;

/** One try at fetching the rest of a file over HTTP: waits for the export to complete, then asks for a range. */
export class RestTransfer {
  readonly #rest: RestClient;
  readonly #exportId: string;
  readonly #receiver: Receiver;
  readonly #onOpen: (() => void) | undefined;

  constructor(rest: RestClient, exportId: string, receiver: Receiver, onOpen?: () => void) {
    this.#rest = rest;
    this.#exportId = exportId;
    this.#receiver = receiver;
    this.#onOpen = onOpen;
  }

  /** @throws SluiceError `network` when cut off; the next try goes on at the receiver's position. */
  async run(signal?: AbortSignal): Promise<DownloadResult> {
    const file = await this.#completed(signal);
    const response = await this.#rest.file(this.#exportId, {
      offset: this.#receiver.position,
      etag: `"${file.sha256}"`,
      signal,
    });
    if (response.status === 416) {
      await response.body?.cancel();
      if (this.#receiver.position > file.size) {
        throw new SluiceError({ slug: "restarted", title: "The file is shorter than what was received" });
      }
      return this.#receiver.finish(file);
    }
    if (response.status === 200 && this.#receiver.position > 0) {
      await this.#receiver.restart(); // the server has another file than the one that was begun
    }
    this.#onOpen?.();
    if (response.body) {
      await this.#read(response.body);
    }
    return this.#receiver.finish(file);
  }

  async #read(body: ReadableStream<Uint8Array>): Promise<void> {
    const reader = body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read().catch((cause: unknown) => {
          throw SluiceError.from(cause);
        });
        if (done) {
          return;
        }
        await this.#receiver.take(this.#receiver.position, value);
      }
    } finally {
      reader.releaseLock();
    }
  }

  async #completed(signal?: AbortSignal): Promise<NonNullable<Export["file"]>> {
    let current = await this.#rest.export(this.#exportId, { signal });
    for (;;) {
      const error = endedBadly(current);
      if (error) {
        throw error;
      }
      if (current.file) {
        return current.file;
      }
      current = await this.#rest.export(this.#exportId, { signal, waitSeconds: WAIT_SECONDS });
    }
  }
}
