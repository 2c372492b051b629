import { type Export, type ExportPage, type ExportRequest, hasEnded } from "@sluice/client";
import type { InfiniteData, QueryClient } from "@tanstack/react-query";
import type { Live } from "../live/LiveProvider.js";
import { putExport, queryKeys } from "../live/queryCache.js";
import type { SaveLocation } from "../saving/fileSaver.js";

/** What became of an export that was asked for. */
export interface StartedExport {
  export: Export;
  /** The very same one was being made already: nothing new was charged. */
  joined: boolean;
}

/** Starts an export, puts it into the lists, and saves its file. `undefined` when they have signed out meanwhile. */
export async function startExport(
  { client, saver, userSession }: Pick<Live, "client" | "saver" | "userSession">,
  request: ExportRequest,
  place: SaveLocation,
): Promise<StartedExport | undefined> {
  const known = unfinished(userSession.queryClient); // before the answer, which puts its export into the list
  const { export: started } = await client.exports.create(request);
  if (userSession.ended.aborted) {
    return undefined; // whoever is next must not see it, nor get its file
  }
  putExport(userSession.queryClient, started);
  void saver.save(started, place);
  return { export: started, joined: known.has(started.id) };
}

/** The exports that are being made; an answer with one of their ids says that an identical one was joined. */
function unfinished(queries: QueryClient): Set<string> {
  const pages = queries.getQueryData<InfiniteData<ExportPage>>(queryKeys.exports)?.pages ?? [];
  const items = pages.flatMap((page) => page.items);
  return new Set(items.filter((item) => !hasEnded(item.status)).map((item) => item.id));
}
