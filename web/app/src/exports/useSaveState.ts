import { useSyncExternalStore } from "react";
import { useLive } from "../live/LiveProvider.js";
import type { SaveState } from "../saving/fileSaver.js";

/** Returns the state of saving the file of an export; `undefined` while this page does not save it. */
export function useSaveState(exportId: string): SaveState | undefined {
  const { saver } = useLive();
  return useSyncExternalStore(saver.subscribe, () => saver.state(exportId));
}
