/** How many recent sequence numbers are remembered to recognise repeats. */
const REMEMBERED = 1024;

/**
 * Where the event log stands. Events come at least once, and replayed ones may mix with new ones, so repeats
 * are recognised by number and not by order.
 */
export class ReplayCursor {
  readonly #seen = new Set<number>();
  #position: { epoch: string; seq: number } | undefined;

  /** What to resume after, once a first session was ready. */
  get position(): { epoch: string; seq: number } | undefined {
    return this.#position;
  }

  /** Starts from here: at the first session, and whenever events were lost. */
  restart(epoch: string, seq: number): void {
    this.#seen.clear();
    this.#position = { epoch, seq };
  }

  /** Records an event. False when it was seen before. */
  accept(seq: number): boolean {
    if (this.#seen.has(seq)) {
      return false;
    }
    this.#seen.add(seq);
    if (this.#seen.size > REMEMBERED) {
      const oldest = this.#seen.values().next().value;
      if (oldest !== undefined) {
        this.#seen.delete(oldest);
      }
    }
    if (this.#position && seq > this.#position.seq) {
      this.#position.seq = seq;
    }
    return true;
  }
}
