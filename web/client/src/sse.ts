import { createParser, type EventSourceParser } from "eventsource-parser";

/** One event of a Server-Sent Events stream (WHATWG HTML, section 9.2). */
export interface SseEvent {
  /** The `event` field; `message` when absent. */
  type: string;
  data: string;
  /** The last event id after this event; empty before the first. */
  id: string;
}

/** Maximum length of one event in characters. A longer one means that the stream is broken. */
const MAX_EVENT_CHARS = 1024 * 1024;

/** Parses a Server-Sent Events stream in chunks, with the parser of `eventsource-parser`. */
export class SseParser {
  readonly #parser: EventSourceParser;
  #events: SseEvent[] = [];
  #lastEventId = "";

  constructor() {
    this.#parser = createParser({
      maxBufferSize: MAX_EVENT_CHARS,
      onEvent: ({ event = "message", data, id }) => {
        this.#lastEventId = id ?? this.#lastEventId;
        this.#events.push({ type: event, data, id: this.#lastEventId });
      },
      onError: (error) => {
        // the specification ignores unknown fields and invalid `retry` values
        if (error.type === "max-buffer-size-exceeded") {
          throw error;
        }
      },
    });
  }

  /**
   * Parses the next chunk. Returns the events that it completes.
   *
   * @throws Error when an event exceeds {@link MAX_EVENT_CHARS}.
   */
  push(text: string): SseEvent[] {
    this.#events = [];
    this.#parser.feed(text);
    return this.#events;
  }
}
