import { type Export, type ExportPage, type ExportRequest, hasEnded } from "@sluice/client";
import type { InfiniteData, QueryClient } from "@tanstack/react-query";
import { keys, putExport } from "../live/follow.js";
import type { Live } from "../live/LiveProvider.js";
import type { Place } from "../saving/saver.js";

/** What became of an export that was asked for. */
export interface Began {
  export: Export;
  /** The very same one was being made already: nothing new was charged. */
  joined: boolean;
}

/** Starts an export, puts it into the lists, and saves its file. `undefined` when they have signed out meanwhile. */
export async function start(
  { client, saver, stay }: Pick<Live, "client" | "saver" | "stay">,
  request: ExportRequest,
  place: Place,
): Promise<Began | undefined> {
  const known = unfinished(stay.queries); // before the answer, which puts its export into the list
  const { export: started } = await client.exports.create(request);
  if (stay.over.aborted) {
    return undefined; // whoever is next must not see it, nor get its file
  }
  putExport(stay.queries, started);
  void saver.save(started, place);
  return { export: started, joined: known.has(started.id) };
}

/** The exports that are being made; an answer with one of their ids says that an identical one was joined. */
function unfinished(queries: QueryClient): Set<string> {
  const pages = queries.getQueryData<InfiniteData<ExportPage>>(keys.exports)?.pages ?? [];
  const items = pages.flatMap((page) => page.items);
  return new Set(items.filter((item) => !hasEnded(item.status)).map((item) => item.id));
}
