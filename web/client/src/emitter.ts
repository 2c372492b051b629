/** Stops a subscription. Calling it again does nothing. */
export type Unsubscribe = () => void;

/**
 * A typed list of listeners. Listeners run in order, synchronously. One that throws stops neither the others nor whoever
 * tells them: its error is reported as any error that nobody catches.
 */
export class Emitter<T> {
  readonly #listeners = new Set<(value: T) => void>();

  on(listener: (value: T) => void): Unsubscribe {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  emit(value: T): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(value);
      } catch (cause) {
        report(cause);
      }
    }
  }
}

/** Node has no `reportError`; there an error of a listener becomes an `uncaughtException`, as with `EventTarget`. */
function report(cause: unknown): void {
  if (typeof globalThis.reportError === "function") {
    globalThis.reportError(cause);
  } else {
    queueMicrotask(() => {
      throw cause;
    });
  }
}
