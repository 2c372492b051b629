import type { SaveLocation } from "./fileSaver.js";

/** Where files go: to the browser's downloads without a word, or to a file that is chosen each time. */
export type SaveLocationKind = "downloads" | "file";

const KEY = "sluice.save-location";

/** What the person chose last. */
export function loadSaveLocation(): SaveLocationKind {
  return localStorage.getItem(KEY) === "file" ? "file" : "downloads";
}

/** Remembers it for this browser. */
export function storeSaveLocation(kind: SaveLocationKind): void {
  localStorage.setItem(KEY, kind);
}

interface Picker {
  showSaveFilePicker(options: { suggestedName: string }): Promise<FileSystemFileHandle>;
}

/**
 * Asks for a file, within the click that wants one. `undefined` when the person thinks better of it.
 *
 * @throws DOMException when the browser forbids it.
 */
export async function chooseFile(suggestedName: string): Promise<SaveLocation | undefined> {
  try {
    const handle = await (window as unknown as Picker).showSaveFilePicker({ suggestedName });
    return { kind: "file", handle };
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === "AbortError") {
      return undefined;
    }
    throw cause;
  }
}
