/** How a file is saved, best method first. */
export type SaveMethod =
  /** Written to the chosen file while the export runs. */
  | "file"
  /** Written to a private file, and copied to the downloads when it is complete and verified. */
  | "private"
  /** Streamed into a browser download by a service worker. */
  | "stream"
  /** Collected in memory, and saved at the end. */
  | "memory";

/** How a file gets into the browser's downloads. */
export type DownloadMethod = Exclude<SaveMethod, "file">;

/** Storage features of the browser. */
export interface BrowserSupport {
  /** The user can choose a file to write to. */
  filePicker: boolean;
  /** A worker can write private files in place (OPFS). */
  privateFiles: boolean;
  /** A service worker can answer a download with a stream. */
  serviceWorker: boolean;
  /** Free space for private files in bytes; undefined when the browser does not report it. */
  freeSpace: number | undefined;
}

/** Fraction of the free space that one file may take: the browser copies it once, and other files need space too. */
const MAX_SPACE_FRACTION = 0.4;

/**
 * Chooses the method for a file that goes to the downloads. Private files come first: they survive a reload or a crash,
 * and only a complete file reaches the downloads. An unknown size counts as small.
 */
export function downloadMethod(support: BrowserSupport, size: number | undefined): DownloadMethod {
  const fits = support.freeSpace === undefined || (size ?? 0) <= support.freeSpace * MAX_SPACE_FRACTION;
  if (support.privateFiles && fits) {
    return "private";
  }
  return support.serviceWorker ? "stream" : "memory";
}
