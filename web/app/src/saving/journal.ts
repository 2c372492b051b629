/** What is known of one file that this browser has or was getting, also after a reload or a crash. */
export interface Entry {
  exportId: string;
  /** Whose it is: nobody else who signs in here may see or go on with it. */
  owner: string;
  method: "file" | "private";
  /** The chosen file of the method `file`. */
  handle?: FileSystemFileHandle;
  /** The try that made the bytes that are there. */
  attempt?: number;
  /** Set when it is whole: what it is called and what it holds. */
  whole?: { name: string; type: string; size: number };
  /** When it was last touched, milliseconds since 1970. */
  at: number;
}

const DATABASE = "sluice";
const STORE = "saves";

/** Keeps {@link Entry entries} in IndexedDB. They hold no token. */
export class Journal {
  #opened: Promise<IDBDatabase> | undefined;

  /** Whether this browser lets it be kept at all; some do not, in private windows. */
  async works(): Promise<boolean> {
    try {
      await this.#run("readonly", (store) => store.count());
      return true;
    } catch {
      return false;
    }
  }

  async all(): Promise<Entry[]> {
    return this.#run<Entry[]>("readonly", (store) => store.getAll());
  }

  async put(entry: Entry): Promise<void> {
    await this.#run("readwrite", (store) => store.put(entry));
  }

  async remove(exportId: string): Promise<void> {
    await this.#run("readwrite", (store) => store.delete(exportId));
  }

  async #run<T>(mode: IDBTransactionMode, ask: (store: IDBObjectStore) => IDBRequest): Promise<T> {
    this.#opened ??= open().catch((cause: unknown) => {
      this.#opened = undefined; // the next one asks again
      throw cause;
    });
    const database = await this.#opened;
    return new Promise<T>((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = ask(transaction.objectStore(STORE));
      transaction.oncomplete = () => resolve(request.result as T);
      transaction.onabort = () => reject(transaction.error);
    });
  }
}

function open(): Promise<IDBDatabase> {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open(DATABASE, 1);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "exportId" });
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
