import { Backoff, type BackoffOptions, delay, HEALTHY_MS } from "./backoff.js";
import { SluiceError } from "./errors.js";
import type { Credits, Export, ServerMessage } from "./protocol.js";
import { hasEnded } from "./protocol.js";
import { type EventPosition, parseEventId } from "./replayCursor.js";
import type { RestClient } from "./restClient.js";
import { SseParser } from "./sse.js";

/** How events come while no socket can be opened: pushed over HTTP, or by asking. */
export type EventTransport = "sse" | "polling";

/** How long one long poll lasts while something is unfinished, in seconds. */
const LONG_POLL_SECONDS = 2;

/** How often to look while nothing is unfinished, in milliseconds. */
const IDLE_POLL_MS = 10_000;

/** A stream on which nothing comes for this many heartbeats is dead. */
const MAX_MISSED_HEARTBEATS = 3;

/** How often a stream beats until it has said so itself, in milliseconds. */
const DEFAULT_HEARTBEAT_MS = 30_000;

/** Longest wait before an event stream that has ended is opened again, in milliseconds. */
const MAX_REOPEN_DELAY_MS = 5_000;

/** How many of the newest exports are looked at. */
const POLLED_EXPORTS = 50;

/** Statuses with which a gateway says that it has no event stream. */
const UNSUPPORTED_STATUSES: readonly number[] = [404, 405, 406, 501];

/** What a {@link HttpEvents} tells. */
export interface HttpEventsListener {
  /**
   * A message as the socket would have sent it; `seq` is 0 where it was found by asking. `place` is where the event log
   * stands with it.
   */
  onMessage(message: ServerMessage, position: EventPosition | undefined): void;
  /** Events come now, this way. */
  onConnected(via: EventTransport): void;
}

/**
 * Brings events where no socket can be opened, such as behind a proxy that knows none: as Server-Sent Events where the
 * gateway has them, else by long polling of what is unfinished.
 */
export class HttpEvents {
  readonly #rest: RestClient;
  readonly #listener: HttpEventsListener;
  readonly #backoff: Backoff;
  #lastEventId: string;
  #wake = new AbortController();

  /** `after`: what a socket before it has received already. */
  constructor(
    rest: RestClient,
    listener: HttpEventsListener,
    after: Readonly<EventPosition> | undefined,
    backoff?: BackoffOptions,
  ) {
    this.#rest = rest;
    this.#listener = listener;
    this.#backoff = new Backoff({
      ...backoff,
      capMs: Math.min(backoff?.capMs ?? MAX_REOPEN_DELAY_MS, MAX_REOPEN_DELAY_MS),
    });
    this.#lastEventId = after ? `${after.epoch}:${after.seq}` : "";
  }

  /** Looks at once, such as after an export was created here. */
  pollNow(): void {
    this.#wake.abort();
  }

  /** Runs until the signal is aborted. @throws SluiceError when the gateway does not answer. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const opened = Date.now();
      if (!(await this.#stream(signal))) {
        await this.#poll(signal);
      }
      if (Date.now() - opened >= HEALTHY_MS) {
        this.#backoff.reset();
      }
      await this.#pause(this.#backoff.next(), signal); // a proxy may end every stream as soon as it has begun
    }
  }

  /** Follows the event stream to its end. False when the gateway has none. */
  async #stream(signal: AbortSignal): Promise<boolean> {
    let response: Response;
    try {
      response = await this.#rest.events({ lastEventId: this.#lastEventId, signal });
    } catch (cause) {
      if (UNSUPPORTED_STATUSES.includes(SluiceError.from(cause).status)) {
        return false;
      }
      throw cause;
    }
    if (!response.body || !response.headers.get("content-type")?.startsWith("text/event-stream")) {
      await response.body?.cancel();
      return false;
    }
    this.#listener.onConnected("sse");
    const parser = new SseParser();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const stop = () => void reader.cancel().catch(() => undefined); // broken already: nothing to cancel
    let heartbeatMs = DEFAULT_HEARTBEAT_MS;
    let silence = setTimeout(stop, MAX_MISSED_HEARTBEATS * heartbeatMs);
    try {
      for (;;) {
        const { done, value } = await reader.read();
        clearTimeout(silence);
        if (done) {
          return true;
        }
        for (const event of parser.push(value)) {
          const message = messageOf(event);
          this.#lastEventId = event.id;
          heartbeatMs = message.type === "session.ready" ? message.heartbeat_ms : heartbeatMs;
          this.#listener.onMessage(message, parseEventId(event.id));
        }
        silence = setTimeout(stop, MAX_MISSED_HEARTBEATS * heartbeatMs);
      }
    } catch (cause) {
      throw SluiceError.from(cause);
    } finally {
      clearTimeout(silence);
      stop();
    }
  }

  /** Asks until the signal is aborted. */
  async #poll(signal: AbortSignal): Promise<void> {
    const changes = new ChangeDetector((message) => this.#listener.onMessage(message, undefined));
    while (!signal.aborted) {
      const [page, credits] = await Promise.all([
        this.#rest.exports({ limit: POLLED_EXPORTS }, { signal }),
        this.#rest.credits({ signal }),
      ]);
      this.#listener.onConnected("polling");
      changes.exports(page.items);
      changes.credits(credits);
      const unfinished = page.items.find((item) => !hasEnded(item.status));
      if (unfinished) {
        await this.#rest.export(unfinished.id, { waitSeconds: LONG_POLL_SECONDS, signal });
      } else {
        await this.#pause(IDLE_POLL_MS, signal);
      }
    }
  }

  /** Waits until the time is over, or somebody pokes. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    this.#wake = new AbortController();
    await delay(ms, AbortSignal.any([signal, this.#wake.signal])).catch(() => undefined);
  }
}

/** What was seen before, so that only changes are received. */
class ChangeDetector {
  readonly #emit: (message: ServerMessage) => void;
  readonly #exports = new Map<string, string>();
  #credits: string | undefined;
  #first = true;

  constructor(emit: (message: ServerMessage) => void) {
    this.#emit = emit;
  }

  exports(items: readonly Export[]): void {
    for (const item of [...items].reverse()) {
      const mark = `${item.status} ${JSON.stringify(item.progress)}`;
      const before = this.#exports.get(item.id);
      this.#exports.set(item.id, mark);
      if (this.#first || before === mark) {
        continue;
      }
      const { status } = item;
      if (status === "completed" || status === "failed" || status === "canceled" || status === "expired") {
        if (!before?.startsWith(`${status} `)) {
          this.#emit({ type: `export.${status}`, seq: 0, export: item });
        }
      } else {
        this.#emit({ type: "export.progress", export_id: item.id, progress: item.progress });
      }
    }
    this.#first = false;
  }

  credits({ balance, held }: Credits): void {
    const mark = `${balance} ${held}`;
    if (this.#credits !== undefined && this.#credits !== mark) {
      this.#emit({ type: "credits.changed", seq: 0, balance, held, reason: "" });
    }
    this.#credits = mark;
  }
}

function messageOf(event: { type: string; data: string }): ServerMessage {
  try {
    const body = JSON.parse(event.data) as Record<string, unknown>;
    return { type: event.type, ...body } as unknown as ServerMessage;
  } catch (cause) {
    throw SluiceError.from(cause, "protocol");
  }
}
