import type { BrowserSupport } from "./saveMethod.js";

/** Detects the storage features of the browser. */
export async function detectBrowserSupport(scope: Window & typeof globalThis): Promise<BrowserSupport> {
  const { storage } = scope.navigator;
  // both exist only in a secure context (TLS or localhost)
  const privateFiles =
    scope.isSecureContext && typeof storage?.getDirectory === "function" && "locks" in scope.navigator;
  let freeSpace: number | undefined;
  if (privateFiles) {
    const estimate = await storage.estimate().catch(() => undefined);
    freeSpace = estimate?.quota === undefined ? undefined : estimate.quota - (estimate.usage ?? 0);
  }
  return {
    filePicker: canChooseFile(scope),
    privateFiles,
    serviceWorker: scope.isSecureContext && "serviceWorker" in scope.navigator,
    freeSpace,
  };
}

/** Returns whether the browser can write to a file that the user chooses. */
export function canChooseFile(scope: Window & typeof globalThis): boolean {
  return scope.isSecureContext && "showSaveFilePicker" in scope;
}
