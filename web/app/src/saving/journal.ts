/** Journal entry of a file that this browser has saved or is saving. It survives a reload and a crash. */
export interface JournalEntry {
  exportId: string;
  /** Key of the user; no other user of this browser may see or resume the file. */
  owner: string;
  method: "file" | "private";
  /** The chosen file, for method `file`. */
  handle?: FileSystemFileHandle;
  /** The export attempt that wrote the received bytes. */
  attempt?: number;
  /** Set when the file is complete: its final name, media type and size in bytes. */
  completed?: { name: string; type: string; size: number };
  /** Time of the last change, milliseconds since 1970. */
  updatedAt: number;
}

const DATABASE = "sluice";
const STORE = "saves";

/** Keeps {@link JournalEntry journal entries} in IndexedDB. They contain no token. */
export class Journal {
  #opened: Promise<IDBDatabase> | undefined;

  /** Returns whether IndexedDB works; some browsers disable it in private windows. */
  async isAvailable(): Promise<boolean> {
    try {
      await this.#run("readonly", (store) => store.count());
      return true;
    } catch {
      return false;
    }
  }

  async all(): Promise<JournalEntry[]> {
    return this.#run<JournalEntry[]>("readonly", (store) => store.getAll());
  }

  async put(entry: JournalEntry): Promise<void> {
    await this.#run("readwrite", (store) => store.put(entry));
  }

  async remove(exportId: string): Promise<void> {
    await this.#run("readwrite", (store) => store.delete(exportId));
  }

  async #run<T>(mode: IDBTransactionMode, operation: (store: IDBObjectStore) => IDBRequest): Promise<T> {
    this.#opened ??= open().catch((cause: unknown) => {
      this.#opened = undefined; // the next call opens the database again
      throw cause;
    });
    const database = await this.#opened;
    return new Promise<T>((resolve, reject) => {
      const transaction = database.transaction(STORE, mode);
      const request = operation(transaction.objectStore(STORE));
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
