import { useSyncExternalStore } from "react";
import { useLive } from "../live/LiveProvider.js";
import type { SaveState } from "../saving/fileSaver.js";

/** State of saving the file of an export on this page. */
export function useSaveState(exportId: string): SaveState | undefined {
  const { saver } = useLive();
  return useSyncExternalStore(saver.subscribe, () => saver.state(exportId));
}
