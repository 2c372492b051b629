import type { SaveLocation } from "./fileSaver.js";

/** Save location: the browser's downloads, or a file that the user chooses each time. */
export type SaveLocationKind = "downloads" | "file";

const KEY = "sluice.save-location";

/** Returns the user's last choice. */
export function loadSaveLocation(): SaveLocationKind {
  return localStorage.getItem(KEY) === "file" ? "file" : "downloads";
}

/** Stores the choice in this browser. */
export function storeSaveLocation(kind: SaveLocationKind): void {
  localStorage.setItem(KEY, kind);
}

interface Picker {
  showSaveFilePicker(options: { suggestedName: string }): Promise<FileSystemFileHandle>;
}

/**
 * Opens the browser's file dialog; must be called from a click. Returns `undefined` when the user closes the dialog.
 *
 * @throws DOMException when the browser forbids the dialog.
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

interface Permitted {
  queryPermission?(descriptor: { mode: "readwrite" }): Promise<PermissionState>;
  requestPermission?(descriptor: { mode: "readwrite" }): Promise<PermissionState>;
}

/** Returns whether the page may write to the file. With `mayAsk` the browser may ask the user. */
export async function hasWritePermission(
  handle: FileSystemFileHandle & Permitted,
  mayAsk: boolean,
): Promise<boolean> {
  const ask = { mode: "readwrite" } as const;
  const state = (await handle.queryPermission?.(ask)) ?? "granted";
  if (state === "granted" || !mayAsk) {
    return state === "granted";
  }
  return (await handle.requestPermission?.(ask)) === "granted";
}
