/** How long to wait before a file that is still held is tried again, in milliseconds. */
const PAUSE_MS = 150;

/** What browsers say of a private file that a worker, maybe one of another tab, has open. */
const HELD: readonly string[] = ["NoModificationAllowedError", "InvalidStateError"];

/**
 * Does something with a private file, and tries again while the file is still held: what holds it goes soon when its page
 * was just left. Any other failure is final.
 */
export async function retryWhileLocked<T>(work: () => Promise<T>, tries: number): Promise<T> {
  for (let tried = 1; ; tried += 1) {
    try {
      return await work();
    } catch (cause) {
      const held = cause instanceof DOMException && HELD.includes(cause.name);
      if (!held || tried >= tries) {
        throw cause;
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}
