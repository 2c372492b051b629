import type { Journal } from "./journal.js";
import { privateFiles, removePrivateFile } from "./privateFiles.js";
import { retryWhileLocked } from "./retryWhileLocked.js";

/** How often a file that is still held is tried to be removed: for about 15 s, as other tabs may be slow to let go. */
const REMOVE_TRIES = 100;

/** The notes about files, as far as they are needed here. */
type Notes = Pick<Journal, "all" | "remove">;

/**
 * Removes the files of a person, all at the same time, and the notes about them. The notes go first: what is left when
 * the page goes before its time is a file that nobody knows, for {@link removeOrphanFiles}.
 *
 * @throws DOMException when a file could not be removed; it waits for `removeOrphanFiles` too.
 */
export async function removeFilesOf(notes: Notes, owner: string): Promise<void> {
  const own = (await notes.all()).filter((entry) => entry.owner === owner);
  await Promise.all(
    own.map(async ({ exportId }) => {
      await notes.remove(exportId);
      await retryWhileLocked(() => removePrivateFile(exportId), REMOVE_TRIES);
    }),
  );
}

/** Removes the files that no note is about. */
export async function removeOrphanFiles(notes: Notes): Promise<void> {
  // a note comes before its file: what another tab begins just now is either not listed, or known
  const files = await privateFiles();
  const known = new Set((await notes.all()).map((entry) => entry.exportId));
  for (const name of files) {
    if (!known.has(name)) {
      await removePrivateFile(name).catch(() => undefined); // still open somewhere: the next start removes it
    }
  }
}
