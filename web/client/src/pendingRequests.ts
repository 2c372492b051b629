import { SluiceError } from "./errors.js";
import type { ServerMessage } from "./protocol.js";

interface Pending {
  resolve: (message: ServerMessage) => void;
  reject: (error: SluiceError) => void;
  /** Clears the timeout and removes the abort listener. */
  release: () => void;
}

/** Matches direct answers to requests by `ref`, each with a timeout. */
export class PendingRequests {
  readonly #pending = new Map<string, Pending>();
  #last = 0;

  /** Registers a request and calls `send` with its `ref`. A request whose signal is already aborted is not sent. */
  start(timeoutMs: number, send: (ref: string) => void, signal?: AbortSignal): Promise<ServerMessage> {
    this.#last += 1;
    const ref = `r${this.#last}`;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(SluiceError.from(signal.reason, "aborted"));
        return;
      }
      const onTimeout = () => {
        const detail = `no answer within ${timeoutMs} ms`;
        this.#take(ref)?.reject(new SluiceError({ slug: "timeout", title: "No answer in time", detail }));
      };
      const onAbort = () => this.#take(ref)?.reject(SluiceError.from(signal?.reason, "aborted"));
      const timer = setTimeout(onTimeout, timeoutMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      const release = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      this.#pending.set(ref, { resolve, reject, release });
      send(ref);
    });
  }

  /** Settles the request that the message answers. Returns false when no request waits for the message. */
  settle(message: ServerMessage): boolean {
    const ref = "ref" in message ? message.ref : undefined;
    const pending = ref ? this.#take(ref) : undefined;
    if (!pending) {
      return false;
    }
    if (message.type === "error") {
      pending.reject(SluiceError.fromProblem(message.problem));
    } else {
      pending.resolve(message);
    }
    return true;
  }

  /** Rejects every pending request, because the connection is lost. */
  failAll(error: SluiceError): void {
    for (const ref of [...this.#pending.keys()]) {
      this.#take(ref)?.reject(error);
    }
  }

  #take(ref: string): Pending | undefined {
    const pending = this.#pending.get(ref);
    this.#pending.delete(ref);
    pending?.release();
    return pending;
  }
}
