import type { Journal } from "./journal.js";
import { privateFiles, removePrivateFile } from "./privateFiles.js";
import { retryWhileLocked } from "./retryWhileLocked.js";

/** Maximum number of attempts to remove a locked file, about 15 s: other tabs may be slow to release it. */
const MAX_REMOVE_ATTEMPTS = 100;

/** The part of the journal that the cleanup needs. */
type CleanupJournal = Pick<Journal, "all" | "remove">;

/**
 * Removes all private files of a user and their journal entries. The entries are removed first: when the page closes
 * meanwhile, {@link removeOrphanFiles} removes the files at the next start.
 *
 * @throws DOMException when a file can't be removed; it stays as an orphan.
 */
export async function removeFilesOf(journal: CleanupJournal, owner: string): Promise<void> {
  const entries = (await journal.all()).filter((entry) => entry.owner === owner);
  await Promise.all(
    entries.map(async ({ exportId }) => {
      await journal.remove(exportId);
      await retryWhileLocked(() => removePrivateFile(exportId), MAX_REMOVE_ATTEMPTS);
    }),
  );
}

/** Removes private files without a journal entry. */
export async function removeOrphanFiles(journal: CleanupJournal): Promise<void> {
  // entries are written before files, so a file that another tab is creating is either not listed or has an entry
  const files = await privateFiles();
  const known = new Set((await journal.all()).map((entry) => entry.exportId));
  for (const name of files) {
    if (!known.has(name)) {
      await removePrivateFile(name).catch(() => undefined); // still open in another tab: the next start removes it
    }
  }
}
