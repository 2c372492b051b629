/** How many recent sequence numbers are remembered to recognise repeats. */
const REMEMBERED = 1024;

/** A place in the event log. */
export interface Place {
  epoch: string;
  seq: number;
}

/** The `id` of an event over HTTP: `<epoch>:<seq>`; `undefined` for what is none. */
export function placeOf(id: string): Place | undefined {
  const colon = id.lastIndexOf(":");
  const seq = Number(id.slice(colon + 1));
  return colon > 0 && /^\d+$/.test(id.slice(colon + 1)) ? { epoch: id.slice(0, colon), seq } : undefined;
}

/**
 * Where the event log stands. Events come at least once, and new ones may come before the missed ones that were asked
 * for, so repeats are recognised by number and not by order. And so that none is lost when the connection breaks in
 * between, the place does not move past what is still to come.
 */
export class ReplayCursor {
  readonly #seen = new Set<number>();
  /** To which the numbers of {@link #seen} belong. */
  #epoch: string | undefined;
  #position: Place | undefined;
  /** Missed events are on their way: `came` of `due` up to where the connection began, and the newest of those behind. */
  #resuming: { begin: Place; came: number; due: number | undefined; newest: number } | undefined;

  /** What to resume after, once a first session was ready. */
  get position(): Readonly<Place> | undefined {
    return this.#position;
  }

  /** Starts from here: at the first session, and whenever events were lost. */
  restart(place: Place): void {
    this.#seen.clear();
    this.#epoch = place.epoch;
    this.#position = { ...place };
    this.#resuming = undefined;
  }

  /** A connection that began here is asked for what was missed before. */
  resume(begin: Place): void {
    if (begin.epoch !== this.#epoch) {
      this.#seen.clear(); // numbers begin again
      this.#epoch = begin.epoch;
    }
    this.#resuming = { begin, came: 0, due: undefined, newest: 0 };
  }

  /** So many missed events come, or have come already. */
  resumed(replayed: number): void {
    if (this.#resuming) {
      this.#resuming.due = replayed;
      this.#settle();
    }
  }

  /** What was missed can't be told: it goes on where the connection began. */
  lost(): void {
    if (this.#resuming) {
      const { begin, newest } = this.#resuming;
      this.#position = { epoch: begin.epoch, seq: Math.max(begin.seq, newest) };
      this.#resuming = undefined;
    }
  }

  /** The connection is gone. What was still to come is asked for again, from the same place. */
  cut(): void {
    this.#resuming = undefined;
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
    if (this.#seen.size > REMEMBERED) {
      const oldest = this.#seen.values().next().value;
      if (oldest !== undefined) {
        this.#seen.delete(oldest);
      }
    }
  }

  #advance(seq: number): void {
    const resuming = this.#resuming;
    if (resuming && (seq > resuming.begin.seq || resuming.begin.epoch !== this.#position?.epoch)) {
      resuming.newest = Math.max(resuming.newest, seq);
      return;
    }
    if (this.#position) {
      this.#position.seq = Math.max(this.#position.seq, seq);
    }
    if (resuming) {
      resuming.came += 1;
      this.#settle();
    }
  }

  #settle(): void {
    const resuming = this.#resuming;
    if (resuming && this.#position && resuming.due !== undefined && resuming.came >= resuming.due) {
      this.#position.seq = Math.max(this.#position.seq, resuming.begin.seq, resuming.newest);
      this.#resuming = undefined;
    }
  }
}
