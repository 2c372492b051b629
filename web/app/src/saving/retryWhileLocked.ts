/** Delay before the next attempt, in milliseconds. */
const RETRY_DELAY_MS = 150;

/** Errors of a private file that a worker of this or another tab has open. */
const LOCKED_ERRORS: readonly string[] = ["NoModificationAllowedError", "InvalidStateError"];

/**
 * Runs an operation on a private file, and retries while the file is locked: the worker of a closed page releases it
 * soon. Any other error is final.
 */
export async function retryWhileLocked<T>(operation: () => Promise<T>, maxAttempts: number): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await operation();
    } catch (cause) {
      const locked = cause instanceof DOMException && LOCKED_ERRORS.includes(cause.name);
      if (!locked || attempt >= maxAttempts) {
        throw cause;
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_DELAY_MS));
    }
  }
}
