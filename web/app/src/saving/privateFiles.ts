/** Folder of this page's private files in the origin private file system (OPFS). */
const FOLDER = "saves";

/**
 * Returns the private file of an export.
 *
 * @throws DOMException `NotFoundError` when it does not exist and `create` is false.
 */
export async function privateFile(exportId: string, create: boolean): Promise<FileSystemFileHandle> {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
  return folder.getFileHandle(exportId, { create });
}

/** Deletes the private file of an export, if it exists. */
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

/** Lists the ids of the exports with a private file. */
export async function privateFiles(): Promise<string[]> {
  const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle(FOLDER, { create: true });
  const names: string[] = [];
  for await (const name of folder.keys()) {
    names.push(name);
  }
  return names;
}
