/** One event of a Server-Sent Events stream (WHATWG HTML, section 9.2). */
export interface SseEvent {
  /** `event:`, or `message`. */
  type: string;
  data: string;
  /** `id:` as it stands after this event; empty before the first. */
  id: string;
}

/** Most characters of one event, after which the stream counts as broken. */
const MAX_EVENT_CHARS = 1024 * 1024;

/** Takes text as it comes and gives the events that it completes. */
export class SseParser {
  #rest = "";
  #type = "";
  #data: string[] = [];
  #size = 0;
  #id = "";

  /** @throws Error when one event is too long to be one. */
  push(text: string): SseEvent[] {
    const events: SseEvent[] = [];
    // a CR at the end may be the first half of a line end
    const all = this.#rest + text;
    const held = all.endsWith("\r") ? 1 : 0;
    const lines = all.slice(0, all.length - held).split(/\r\n|\n|\r/);
    this.#rest = (lines.pop() ?? "") + all.slice(all.length - held);
    for (const line of lines) {
      const event = this.#line(line);
      if (event) {
        events.push(event);
      }
    }
    if (this.#size + this.#rest.length > MAX_EVENT_CHARS) {
      throw new Error(`an event of more than ${MAX_EVENT_CHARS} characters`);
    }
    return events;
  }

  #line(line: string): SseEvent | undefined {
    if (line === "") {
      const data = this.#data.join("\n");
      const event = this.#data.length > 0 ? { type: this.#type || "message", data, id: this.#id } : undefined;
      this.#data = [];
      this.#size = 0;
      this.#type = "";
      return event;
    }
    const colon = line.indexOf(":");
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    switch (field) {
      case "data":
        this.#data.push(value);
        this.#size += value.length;
        break;
      case "event":
        this.#type = value;
        break;
      case "id":
        this.#id = value.includes("\0") ? this.#id : value;
        break;
    }
    return undefined;
  }
}
