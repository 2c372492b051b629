import type { BrowserSupport } from "./saveMethod.js";

/** Asks the browser what it can. */
export async function detectBrowserSupport(scope: Window & typeof globalThis): Promise<BrowserSupport> {
  const { storage } = scope.navigator;
  // both only where the page came over TLS or from this machine
  const privateFiles =
    scope.isSecureContext && typeof storage?.getDirectory === "function" && "locks" in scope.navigator;
  let room: number | undefined;
  if (privateFiles) {
    const estimate = await storage.estimate().catch(() => undefined);
    room = estimate?.quota === undefined ? undefined : estimate.quota - (estimate.usage ?? 0);
  }
  return {
    picker: canChooseFile(scope),
    privateFiles,
    serviceWorker: scope.isSecureContext && "serviceWorker" in scope.navigator,
    room,
  };
}

/** Whether this browser lets a person choose a file to be written to. */
export function canChooseFile(scope: Window & typeof globalThis): boolean {
  return scope.isSecureContext && "showSaveFilePicker" in scope;
}
