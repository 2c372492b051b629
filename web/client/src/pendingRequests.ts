import { SluiceError } from "./errors.js";
import type { ServerMessage } from "./protocol.js";

interface Pending {
  resolve: (message: ServerMessage) => void;
  reject: (error: SluiceError) => void;
  /** Its deadline, and its caller's signal, need not be heard any more. */
  release: () => void;
}

/** Matches direct answers to requests by `ref`, each with a deadline. */
export class PendingRequests {
  readonly #pending = new Map<string, Pending>();
  #last = 0;

  /** Registers a request; `send` gets the `ref` to put on it. One that was given up before is not sent at all. */
  start(timeoutMs: number, send: (ref: string) => void, signal?: AbortSignal): Promise<ServerMessage> {
    this.#last += 1;
    const ref = `r${this.#last}`;
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(SluiceError.from(signal.reason, "aborted"));
        return;
      }
      const onLate = () => {
        const detail = `no answer within ${timeoutMs} ms`;
        this.#take(ref)?.reject(new SluiceError({ slug: "timeout", title: "No answer in time", detail }));
      };
      const onAbort = () => this.#take(ref)?.reject(SluiceError.from(signal?.reason, "aborted"));
      const timer = setTimeout(onLate, timeoutMs);
      signal?.addEventListener("abort", onAbort, { once: true });
      const release = () => {
        clearTimeout(timer);
        signal?.removeEventListener("abort", onAbort);
      };
      this.#pending.set(ref, { resolve, reject, release });
      send(ref);
    });
  }

  /** True when the message answers a waiting request. */
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

  /** Rejects everything that waits, because its connection is gone. */
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
