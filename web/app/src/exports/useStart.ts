import type { Export, ExportRequest } from "@sluice/client";
import { useMutation } from "@tanstack/react-query";
import { keys } from "../live/follow.js";
import { useLive } from "../live/LiveProvider.js";
import { canChoosePlace } from "../saving/abilities.js";
import { choosePlace, loadPlace } from "../saving/place.js";
import type { Place } from "../saving/saver.js";
import { type Began, start } from "./start.js";

/** An export to be started. */
export interface Start {
  request: ExportRequest;
  /** About how large its file will be, bytes. */
  size?: number | undefined;
}

/** Starts an export and saves its file; the place is asked for first, where the person wants to be asked. */
export function useStart(onStarted?: (started: Export) => void) {
  const live = useLive();
  return useMutation({
    mutationFn: async ({ request, size }: Start): Promise<Began | undefined> => {
      const place = await placeFor(request, size);
      // they may think better of it: then nothing is asked for, and nothing is charged
      return place && start(live, request, place);
    },
    onSuccess: (began) => {
      if (began) {
        onStarted?.(began.export);
      }
      if (live.connection.name !== "live") {
        void live.stay.queries.invalidateQueries({ queryKey: keys.credits });
      }
    },
  });
}

async function placeFor(
  { dataset, format }: ExportRequest,
  size: number | undefined,
): Promise<Place | undefined> {
  if (loadPlace() === "file" && canChoosePlace(window)) {
    return choosePlace(`${dataset}.${format ?? "csv"}`);
  }
  return { kind: "downloads", size };
}
