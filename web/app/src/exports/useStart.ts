import { type Export, type ExportPage, type ExportRequest, hasEnded } from "@sluice/client";
import { type InfiniteData, type QueryClient, useMutation, useQueryClient } from "@tanstack/react-query";
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

/** What became of it. */
export interface Began {
  export: Export;
  /** The very same one was being made already: nothing new was charged. */
  joined: boolean;
}

/** Starts an export and saves its file; the place is asked for first, where the person wants to be asked. */
export function useStart(onStarted?: (started: Export) => void) {
  const { client, saver, connection } = useLive();
  const queries = useQueryClient();
  return useMutation({
    mutationFn: async ({ request, size }: Start): Promise<Began | undefined> => {
      const place = await placeFor(request, size);
      if (!place) {
        return undefined; // they thought better of it: nothing was asked for, and nothing is charged
      }
      const known = unfinished(queries); // before the answer, which puts its export into the list
      const { export: started } = await client.exports.create(request);
      const joined = known.has(started.id);
      putExport(queries, started);
      void saver.save(started, place);
      return { export: started, joined };
    },
    onSuccess: (began) => {
      if (began) {
        onStarted?.(began.export);
      }
      if (connection.name !== "live") {
        void queries.invalidateQueries({ queryKey: keys.credits });
      }
    },
  });
}

/** The exports that are being made; an answer with one of their ids says that an identical one was joined. */
function unfinished(queries: QueryClient): Set<string> {
  const pages = queries.getQueryData<InfiniteData<ExportPage>>(keys.exports)?.pages ?? [];
  const items = pages.flatMap((page) => page.items);
  return new Set(items.filter((item) => !hasEnded(item.status)).map((item) => item.id));
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
