import { Backoff, type BackoffOptions, delay, HEALTHY_MS } from "./backoff.js";
import { SluiceError } from "./errors.js";
import type { Credits, Export, ServerMessage } from "./protocol.js";
import { hasEnded } from "./protocol.js";
import { type EventPosition, parseEventId } from "./replayCursor.js";
import type { RestClient } from "./restClient.js";
import { SseParser } from "./sse.js";

/** The transport of events without a WebSocket: Server-Sent Events or polling. */
export type EventTransport = "sse" | "polling";

/** Duration of one long poll while an export is unfinished, in seconds. */
const LONG_POLL_SECONDS = 2;

/** Poll interval while no export is unfinished, in milliseconds. */
const IDLE_POLL_MS = 10_000;

/** An event stream without data for this many heartbeats is dead. */
const MAX_MISSED_HEARTBEATS = 3;

/** Heartbeat interval of a stream before its `session.ready` states it, in milliseconds. */
const DEFAULT_HEARTBEAT_MS = 30_000;

/** Maximum delay before an ended event stream is reopened, in milliseconds. */
const MAX_REOPEN_DELAY_MS = 5_000;

/** Number of the newest exports that a poll fetches. */
const POLLED_EXPORTS = 50;

/** HTTP statuses with which a gateway without an event stream answers. */
const UNSUPPORTED_STATUSES: readonly number[] = [404, 405, 406, 501];

/** Callbacks of {@link HttpEvents}. */
export interface HttpEventsListener {
  /**
   * Called with each message, in the form of a WebSocket message. `seq` is 0 for messages derived from polling.
   * `position` is the position in the event log after the message.
   */
  onMessage(message: ServerMessage, position: EventPosition | undefined): void;
  /** Called when events arrive over this transport. */
  onConnected(transport: EventTransport): void;
}

/**
 * Delivers events when no WebSocket can be opened, for example behind a proxy without WebSocket support: by Server-Sent
 * Events if the gateway has them, by long polling of unfinished exports otherwise.
 */
export class HttpEvents {
  readonly #rest: RestClient;
  readonly #listener: HttpEventsListener;
  readonly #backoff: Backoff;
  #lastEventId: string;
  #wake = new AbortController();

  /** `after`: position in the event log of the last event that a WebSocket delivered. */
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

  /** Polls at once, for example after this client created an export. */
  pollNow(): void {
    this.#wake.abort();
  }

  /**
   * Runs until the signal is aborted.
   *
   * @throws SluiceError when the gateway does not answer.
   */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const startedAt = Date.now();
      if (!(await this.#readStream(signal))) {
        await this.#poll(signal);
      }
      if (Date.now() - startedAt >= HEALTHY_MS) {
        this.#backoff.reset();
      }
      await this.#pause(this.#backoff.next(), signal); // a proxy may end every stream at once
    }
  }

  /** Reads the event stream to its end. Returns false when the gateway has no event stream. */
  async #readStream(signal: AbortSignal): Promise<boolean> {
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
    const stop = () => void reader.cancel().catch(() => undefined); // the stream is already broken
    let heartbeatMs = DEFAULT_HEARTBEAT_MS;
    let deadTimer = setTimeout(stop, MAX_MISSED_HEARTBEATS * heartbeatMs);
    try {
      for (;;) {
        const { done, value } = await reader.read();
        clearTimeout(deadTimer);
        if (done) {
          return true;
        }
        for (const event of parser.push(value)) {
          const message = parseMessage(event);
          this.#lastEventId = event.id;
          heartbeatMs = message.type === "session.ready" ? message.heartbeat_ms : heartbeatMs;
          this.#listener.onMessage(message, parseEventId(event.id));
        }
        deadTimer = setTimeout(stop, MAX_MISSED_HEARTBEATS * heartbeatMs);
      }
    } catch (cause) {
      throw SluiceError.from(cause);
    } finally {
      clearTimeout(deadTimer);
      stop();
    }
  }

  /** Polls until the signal is aborted. */
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

  /** Waits for `ms` milliseconds, or until {@link pollNow}. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    this.#wake = new AbortController();
    await delay(ms, AbortSignal.any([signal, this.#wake.signal])).catch(() => undefined);
  }
}

/** Compares each poll with the previous one and emits a message for every change. */
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
      const snapshot = `${item.status} ${JSON.stringify(item.progress)}`;
      const before = this.#exports.get(item.id);
      this.#exports.set(item.id, snapshot);
      if (this.#first || before === snapshot) {
        continue;
      }
      const { status } = item;
      if (
        status === "completed" ||
        status === "unchanged" ||
        status === "failed" ||
        status === "canceled" ||
        status === "expired"
      ) {
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
    const snapshot = `${balance} ${held}`;
    if (this.#credits !== undefined && this.#credits !== snapshot) {
      this.#emit({ type: "credits.changed", seq: 0, balance, held, reason: "" });
    }
    this.#credits = snapshot;
  }
}

function parseMessage(event: { type: string; data: string }): ServerMessage {
  try {
    const body = JSON.parse(event.data) as Record<string, unknown>;
    return { type: event.type, ...body } as unknown as ServerMessage;
  } catch (cause) {
    throw SluiceError.from(cause, "protocol");
  }
}
