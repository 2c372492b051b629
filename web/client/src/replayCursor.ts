/** Number of recent sequence numbers that the cursor stores to detect duplicates. */
const MAX_REMEMBERED = 1024;

/** A position in the event log: sequence numbers count within an epoch. */
export interface EventPosition {
  epoch: string;
  seq: number;
}

/** Parses the `id` of a Server-Sent Event, `<epoch>:<seq>`. Returns `undefined` for any other text. */
export function parseEventId(id: string): EventPosition | undefined {
  const colon = id.lastIndexOf(":");
  const seq = Number(id.slice(colon + 1));
  return colon > 0 && /^\d+$/.test(id.slice(colon + 1)) ? { epoch: id.slice(0, colon), seq } : undefined;
}

/**
 * Position in the event log. The server delivers events at least once, and new events may arrive before the replay of
 * missed ones, so duplicates are detected by number and not by order. The position never moves past an event that the
 * replay has still to deliver, so that a lost connection loses no event.
 */
export class ReplayCursor {
  readonly #seen = new Set<number>();
  /** Epoch of the numbers in {@link #seen}. */
  #epoch: string | undefined;
  #position: EventPosition | undefined;
  /**
   * The running replay: `received` of `expected` missed events have arrived. `start` is the position at which the
   * connection began, and `newest` the number of the newest event after it.
   */
  #replay:
    | { start: EventPosition; received: number; expected: number | undefined; newest: number }
    | undefined;

  /** The position to resume after; `undefined` before the first session. */
  get position(): Readonly<EventPosition> | undefined {
    return this.#position;
  }

  /** Sets the position: at the first session, and after a loss of events. */
  restart(position: EventPosition): void {
    this.#seen.clear();
    this.#epoch = position.epoch;
    this.#position = { ...position };
    this.#replay = undefined;
  }

  /** Starts a replay: a connection that began at `start` requests the missed events. */
  beginReplay(start: EventPosition): void {
    if (start.epoch !== this.#epoch) {
      this.#seen.clear(); // sequence numbers start again in a new epoch
      this.#epoch = start.epoch;
    }
    this.#replay = { start, received: 0, expected: undefined, newest: 0 };
  }

  /** Sets the number of events that the replay delivers. Some may have arrived already. */
  expectReplay(replayed: number): void {
    if (this.#replay) {
      this.#replay.expected = replayed;
      this.#settle();
    }
  }

  /**
   * Ends the replay without the missed events, because the server no longer has them. Continues at the start of the
   * connection.
   */
  abandonReplay(): void {
    if (this.#replay) {
      const { start, newest } = this.#replay;
      this.#position = { epoch: start.epoch, seq: Math.max(start.seq, newest) };
      this.#replay = undefined;
    }
  }

  /** The connection is lost. The next one requests the outstanding events from the same position. */
  disconnected(): void {
    this.#replay = undefined;
  }

  /** Records an event. Returns false for a duplicate. */
  accept(seq: number): boolean {
    const repeated = this.#seen.has(seq);
    if (!repeated) {
      this.#remember(seq);
    }
    this.#advance(seq);
    return !repeated;
  }

  #remember(seq: number): void {
    this.#seen.add(seq);
    if (this.#seen.size > MAX_REMEMBERED) {
      const oldest = this.#seen.values().next().value;
      if (oldest !== undefined) {
        this.#seen.delete(oldest);
      }
    }
  }

  #advance(seq: number): void {
    const replay = this.#replay;
    if (replay && (seq > replay.start.seq || replay.start.epoch !== this.#position?.epoch)) {
      replay.newest = Math.max(replay.newest, seq);
      return;
    }
    if (this.#position) {
      this.#position.seq = Math.max(this.#position.seq, seq);
    }
    if (replay) {
      replay.received += 1;
      this.#settle();
    }
  }

  #settle(): void {
    const replay = this.#replay;
    if (replay && this.#position && replay.expected !== undefined && replay.received >= replay.expected) {
      this.#position.seq = Math.max(this.#position.seq, replay.start.seq, replay.newest);
      this.#replay = undefined;
    }
  }
}
