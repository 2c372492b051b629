/** The folder of this page's private files. */
const FOLDER = "saves";

/** A private file of one export. @throws DOMException `NotFoundError` when there is none and none is to be made. */
export async function privateFile(exportId: string, create: boolean): Promise<FileSystemFileHandle> {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
  return folder.getFileHandle(exportId, { create });
}

/** Deletes it, if it is there. */
export async function removePrivateFile(exportId: string): Promise<void> {
  try {
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, {
      create: true,
    });
    await folder.removeEntry(exportId);
  } catch (cause) {
    if (!(cause instanceof DOMException && cause.name === "NotFoundError")) {
      throw cause;
    }
  }
}

/** The exports that have one. */
export async function privateFiles(): Promise<string[]> {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
  const names: string[] = [];
  for await (const name of folder.keys()) {
    names.push(name);
  }
  return names;
}
