import type { Unsubscribe } from "./emitter.js";
import { SluiceError } from "./errors.js";
import type { MessageOf, ServerMessage, SluiceEvent } from "./protocol.js";
import type { Session, SessionState } from "./session.js";

/** Maximum number of queued events for a slow reader. Only the newest progress event of each export is queued. */
const MAX_QUEUED = 1_000;

/**
 * Async iterator over events of some types, in order, from its creation. A newer progress event replaces a queued one
 * of the same export. When a reader leaves a thousand events in the queue, the iterator throws a `protocol` error and
 * ends. The iterator ends when the client is closed; when the session ends for another reason, such as `forbidden`, it
 * throws that error after the last event.
 */
export class EventIterator<T extends SluiceEvent["type"]> implements AsyncIterableIterator<MessageOf<T>> {
  readonly #queue: MessageOf<T>[] = [];
  readonly #types: readonly string[];
  readonly #subscriptions: Unsubscribe[];
  readonly #onAbort = () => this.#end();
  readonly #signal: AbortSignal | undefined;
  #wake = () => {};
  #ended = false;
  #overflowed = false;
  #error: SluiceError | undefined;

  constructor(
    session: Pick<Session, "messages" | "states" | "state">,
    types: readonly T[],
    signal?: AbortSignal,
  ) {
    this.#types = types;
    this.#signal = signal;
    this.#subscriptions = [
      session.messages.on((message) => this.#enqueue(message)),
      session.states.on((state) => this.#onSessionState(state)),
    ];
    this.#onSessionState(session.state);
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
      const value = this.#queue.shift();
      if (value) {
        return { done: false, value };
      }
      if (this.#overflowed) {
        this.#end();
        throw new SluiceError({ slug: "protocol", title: "Events were read too slowly" });
      }
      const error = this.#error;
      if (error) {
        this.#error = undefined; // thrown once, then the iterator ends
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
    this.#queue.length = 0;
    this.#error = undefined;
    this.#end();
    return { done: true, value: undefined };
  }

  #enqueue(message: ServerMessage): void {
    if (!this.#types.includes(message.type) || this.#overflowed) {
      return;
    }
    const event = message as MessageOf<T>;
    const at = this.#queue.findIndex((other) => replaces(event, other));
    if (at >= 0) {
      this.#queue[at] = event;
    } else if (this.#queue.length < MAX_QUEUED) {
      this.#queue.push(event);
    } else {
      this.#overflowed = true;
    }
    this.#wake();
  }

  #onSessionState(state: SessionState): void {
    if (state.name === "closed" && !this.#ended) {
      this.#error = state.error;
      this.#end();
    }
  }

  #end(): void {
    this.#ended = true;
    for (const unsubscribe of this.#subscriptions) {
      unsubscribe();
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
