import { useSyncExternalStore } from "react";
import { useLive } from "../live/LiveProvider.js";
import type { Saving } from "../saving/saver.js";

/** Where the file of an export stands on this page. */
export function useSaving(exportId: string): Saving | undefined {
  const { saver } = useLive();
  return useSyncExternalStore(saver.subscribe, () => saver.state(exportId));
}
