import type { Place } from "./saver.js";

/** Where files go: to the browser's downloads without a word, or to a file that is chosen each time. */
export type PlaceKind = "downloads" | "file";

const KEY = "sluice.place";

/** What the person chose last. */
export function loadPlace(): PlaceKind {
  return localStorage.getItem(KEY) === "file" ? "file" : "downloads";
}

/** Remembers it for this browser. */
export function storePlace(kind: PlaceKind): void {
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
export async function choosePlace(suggestedName: string): Promise<Place | undefined> {
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
