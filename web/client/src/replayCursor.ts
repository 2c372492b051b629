/** How many recent sequence numbers are remembered to recognise repeats. */
const MAX_REMEMBERED = 1024;

/** A position in the event log. */
export interface EventPosition {
  epoch: string;
  seq: number;
}

/** The `id` of an event over HTTP: `<epoch>:<seq>`; `undefined` for what is none. */
export function parseEventId(id: string): EventPosition | undefined {
  const colon = id.lastIndexOf(":");
  const seq = Number(id.slice(colon + 1));
  return colon > 0 && /^\d+$/.test(id.slice(colon + 1)) ? { epoch: id.slice(0, colon), seq } : undefined;
}

/**
 * Where the event log stands. Events come at least once, and new ones may come before the missed ones that were asked
 * for, so repeats are recognised by number and not by order. And so that none is lost when the connection breaks in
 * between, the position does not move past what is still to come.
 */
export class ReplayCursor {
  readonly #seen = new Set<number>();
  /** To which the numbers of {@link #seen} belong. */
  #epoch: string | undefined;
  #position: EventPosition | undefined;
  /** Missed events are on their way: `received` of `expected` up to where the connection began, and the newest of those behind. */
  #replay:
    | { start: EventPosition; received: number; expected: number | undefined; newest: number }
    | undefined;

  /** What to resume after, once a first session was ready. */
  get position(): Readonly<EventPosition> | undefined {
    return this.#position;
  }

  /** Starts from here: at the first session, and whenever events were lost. */
  restart(position: EventPosition): void {
    this.#seen.clear();
    this.#epoch = position.epoch;
    this.#position = { ...position };
    this.#replay = undefined;
  }

  /** A connection that began here is asked for what was missed before. */
  beginReplay(start: EventPosition): void {
    if (start.epoch !== this.#epoch) {
      this.#seen.clear(); // numbers start again
      this.#epoch = start.epoch;
    }
    this.#replay = { start, received: 0, expected: undefined, newest: 0 };
  }

  /** So many missed events come, or have come already. */
  expectReplay(replayed: number): void {
    if (this.#replay) {
      this.#replay.expected = replayed;
      this.#settle();
    }
  }

  /** What was missed can't be received: it goes on where the connection began. */
  abandonReplay(): void {
    if (this.#replay) {
      const { start, newest } = this.#replay;
      this.#position = { epoch: start.epoch, seq: Math.max(start.seq, newest) };
      this.#replay = undefined;
    }
  }

  /** The connection is gone. What was still to come is asked for again, from the same position. */
  disconnected(): void {
    this.#replay = undefined;
  }

  /** Records an event. False when it was seen before. */
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
