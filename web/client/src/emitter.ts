/** Removes a listener. Further calls do nothing. */
export type Unsubscribe = () => void;

/**
 * A typed list of listeners. Listeners run synchronously and in order. A listener that throws affects neither the other
 * listeners nor the emitter; its error is reported as an uncaught error.
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

/** Reports an error as uncaught: by `reportError` in a browser, by `uncaughtException` in Node. */
function report(cause: unknown): void {
  if (typeof globalThis.reportError === "function") {
    globalThis.reportError(cause);
  } else {
    queueMicrotask(() => {
      throw cause;
    });
  }
}
