import { SluiceError } from "./errors.js";
import type { ServerMessage } from "./protocol.js";

interface Pending {
  resolve: (message: ServerMessage) => void;
  reject: (error: SluiceError) => void;
  timer: ReturnType<typeof setTimeout>;
}

/** Matches direct answers to requests by `ref`, each with a deadline. */
export class Requests {
  readonly #pending = new Map<string, Pending>();
  #last = 0;

  /** Registers a request; `send` gets the `ref` to put on it. */
  start(deadlineMs: number, send: (ref: string) => void): Promise<ServerMessage> {
    this.#last += 1;
    const ref = `r${this.#last}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#pending.delete(ref);
        reject(
          new SluiceError({
            slug: "timeout",
            title: "No answer in time",
            detail: `no answer within ${deadlineMs} ms`,
          }),
        );
      }, deadlineMs);
      this.#pending.set(ref, { resolve, reject, timer });
      send(ref);
    });
  }

  /** True when the message answers a waiting request. */
  settle(message: ServerMessage): boolean {
    const ref = "ref" in message ? message.ref : undefined;
    const pending = ref ? this.#pending.get(ref) : undefined;
    if (!ref || !pending) {
      return false;
    }
    this.#pending.delete(ref);
    clearTimeout(pending.timer);
    if (message.type === "error") {
      pending.reject(SluiceError.fromProblem(message.problem));
    } else {
      pending.resolve(message);
    }
    return true;
  }

  /** Rejects everything that waits, because its connection is gone. */
  failAll(error: SluiceError): void {
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(error);
    }
    this.#pending.clear();
  }
}
