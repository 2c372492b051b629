import type { Unsubscribe } from "./emitter.js";
import { SluiceError } from "./errors.js";
import type { MessageOf, ServerMessage, SluiceEvent } from "./protocol.js";
import type { Session, SessionState } from "./session.js";

/** Most events that wait for a slow reader; progress never counts twice, as only the newest of an export is kept. */
const MAX_WAITING = 1_000;

/**
 * Events of some types, in order, for `for await`; they are gathered from the moment it is made. A newer progress takes
 * the place of the one of the same export that still waits. A reader that leaves a thousand events waiting is told so by
 * a `protocol` error, and gets no more. It ends when the client is closed; when the session ends for another reason, such
 * as `forbidden`, that is thrown behind the last event.
 */
export class Events<T extends SluiceEvent["type"]> implements AsyncIterableIterator<MessageOf<T>> {
  readonly #waiting: MessageOf<T>[] = [];
  readonly #types: readonly string[];
  readonly #off: Unsubscribe[];
  readonly #onAbort = () => this.#end();
  readonly #signal: AbortSignal | undefined;
  #wake = () => {};
  #ended = false;
  #late = false;
  #error: SluiceError | undefined;

  constructor(
    session: Pick<Session, "messages" | "states" | "state">,
    types: readonly T[],
    signal?: AbortSignal,
  ) {
    this.#types = types;
    this.#signal = signal;
    this.#off = [
      session.messages.on((message) => this.#take(message)),
      session.states.on((state) => this.#follow(state)),
    ];
    this.#follow(session.state);
    signal?.addEventListener("abort", this.#onAbort);
    if (signal?.aborted) {
      this.#end();
    }
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async next(): Promise<IteratorResult<MessageOf<T>, undefined>> {
    for (;;) {
      const value = this.#waiting.shift();
      if (value) {
        return { done: false, value };
      }
      if (this.#late) {
        this.#end();
        throw new SluiceError({ slug: "protocol", title: "Events were read too slowly" });
      }
      const error = this.#error;
      if (error) {
        this.#error = undefined; // once: after that it has ended
        throw error;
      }
      if (this.#ended) {
        return { done: true, value: undefined };
      }
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async return(): Promise<IteratorResult<MessageOf<T>, undefined>> {
    this.#waiting.length = 0;
    this.#error = undefined;
    this.#end();
    return { done: true, value: undefined };
  }

  #take(message: ServerMessage): void {
    if (!this.#types.includes(message.type) || this.#late) {
      return;
    }
    const event = message as MessageOf<T>;
    const at = this.#waiting.findIndex((other) => replaces(event, other));
    if (at >= 0) {
      this.#waiting[at] = event;
    } else if (this.#waiting.length < MAX_WAITING) {
      this.#waiting.push(event);
    } else {
      this.#late = true;
    }
    this.#wake();
  }

  #follow(state: SessionState): void {
    if (state.name === "closed" && !this.#ended) {
      this.#error = state.error;
      this.#end();
    }
  }

  #end(): void {
    this.#ended = true;
    for (const off of this.#off) {
      off();
    }
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#wake();
  }
}

function replaces(event: ServerMessage, other: ServerMessage): boolean {
  return (
    event.type === "export.progress" &&
    other.type === "export.progress" &&
    event.export_id === other.export_id
  );
}
