import type { Export, ExportRequest } from "@sluice/client";
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { keys, putExport } from "../live/follow.js";
import { useLive } from "../live/LiveProvider.js";
import { canChoosePlace } from "../saving/abilities.js";
import { choosePlace, loadPlace } from "../saving/place.js";
import type { Place } from "../saving/saver.js";

/** An export to be started. */
export interface Start {
  request: ExportRequest;
  /** About how large its file will be, bytes. */
  size?: number | undefined;
}

/** Starts an export and saves its file; the place is asked for first, where the person wants to be asked. */
export function useStart(onStarted?: (started: Export) => void) {
  const { client, saver, connection } = useLive();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ request, size }: Start): Promise<Export | undefined> => {
      const place = await placeFor(request, size);
      if (!place) {
        return undefined; // they thought better of it: nothing was asked for, and nothing is charged
      }
      const { export: started } = await client.exports.create(request);
      putExport(queries, started);
      void saver.save(started, place);
      return started;
    },
    onSuccess: (started) => {
      if (started) {
        onStarted?.(started);
      }
      if (connection.name !== "live") {
        void queries.invalidateQueries({ queryKey: keys.credits });
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
