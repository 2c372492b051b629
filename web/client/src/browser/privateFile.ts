/** Folder of unfinished and recently saved files in the origin private file system (OPFS). */
const FOLDER = "sluice-exports";

/** A file that only this origin can read, and that other tabs leave alone while this page lives. */
export interface PrivateFile {
  handle: FileSystemFileHandle;
  /** Deletes the file from the private storage of the origin. */
  remove(): Promise<void>;
}

/** Creates a private file; `undefined` where the browser has none, such as on pages without TLS. */
export async function createPrivateFile(): Promise<PrivateFile | undefined> {
  try {
    if (!isSecureContext || !navigator.locks || !("createWritable" in FileSystemFileHandle.prototype)) {
      return undefined;
    }
    const folder = await openFolder();
    await removeOrphans(folder);
    const name = `${Date.now()}-${crypto.randomUUID()}`;
    const unlock = await lock(name);
    const handle = await folder.getFileHandle(name, { create: true });
    const remove = async () => {
      await folder.removeEntry(name).catch(() => undefined); // a later page removes what is still open
      unlock?.();
    };
    return { handle, remove };
  } catch {
    return undefined; // some browsers have the functions and refuse them, for example in private windows
  }
}

async function openFolder(): Promise<FileSystemDirectoryHandle> {
  const root = await navigator.storage.getDirectory();
  return root.getDirectoryHandle(FOLDER, { create: true });
}

/** Removes the files of pages that have ended. */
async function removeOrphans(folder: FileSystemDirectoryHandle): Promise<void> {
  const { keys } = folder as unknown as { keys(): AsyncIterableIterator<string> };
  for await (const name of keys.call(folder)) {
    const unlock = await lock(name);
    if (unlock) {
      await folder.removeEntry(name).catch(() => undefined);
      unlock();
    }
  }
}

/** Takes the lock of a file; `undefined` when another page has it. The browser releases the lock when the page ends. */
function lock(name: string): Promise<(() => void) | undefined> {
  return new Promise((resolve, reject) => {
    navigator.locks
      .request(`${FOLDER}/${name}`, { ifAvailable: true }, (held) => {
        if (!held) {
          resolve(undefined);
          return undefined;
        }
        return new Promise<void>((release) => resolve(release));
      })
      .catch(reject);
  });
}
