/** How a file gets from the socket to a place that the person can open, best first. */
export type SaveMethod =
  /** Into a file that the person chose, at its offsets, while the export runs. */
  | "file"
  /** Into the browser's private files, and from there to the downloads once it is whole and checked. */
  | "private"
  /** Into a download of the browser as it comes, through a service worker. */
  | "stream"
  /** Into memory. */
  | "memory";

/** What this browser can do, and how much room there is. */
export interface BrowserSupport {
  /** A file can be chosen to be written to. */
  picker: boolean;
  /** There are private files that a worker can write in place. */
  privateFiles: boolean;
  /** There are service workers, and streams that can be answered with. */
  serviceWorker: boolean;
  /** Room for private files, bytes; undefined when the browser does not tell. */
  room: number | undefined;
}

/** The largest file that is gathered in memory, bytes. */
export const MEMORY_LIMIT = 256 * 1024 * 1024;

/** Part of the room that one file may take: the browser copies it once, and other files are there too. */
const SHARE = 0.4;

/**
 * The method of a file that goes to the downloads. Private files come first: what they hold is still there after a reload
 * or a crash, and a file is only handed over when it is whole. A size that is not known yet is taken for a small one.
 */
export function downloadMethod(
  support: BrowserSupport,
  size: number | undefined,
): Exclude<SaveMethod, "file"> {
  const fits = support.room === undefined || (size ?? 0) <= support.room * SHARE;
  if (support.privateFiles && fits) {
    return "private";
  }
  return support.serviceWorker ? "stream" : "memory";
}
