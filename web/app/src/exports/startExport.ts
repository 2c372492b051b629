import { type Export, type ExportPage, type ExportRequest, hasEnded } from "@sluice/client";
import type { InfiniteData, QueryClient } from "@tanstack/react-query";
import type { Live } from "../live/LiveProvider.js";
import { putExport, queryKeys } from "../live/queryCache.js";
import type { SaveLocation } from "../saving/fileSaver.js";

/** The answer to a click on Export. */
export interface StartedExport {
  export: Export;
  /** Whether the request joined an identical unfinished export, free of charge. */
  joined: boolean;
}

/**
 * Starts an export, adds it to the lists, and saves its file. Returns `undefined` when the user has signed out
 * meanwhile.
 */
export async function startExport(
  { client, saver, userSession }: Pick<Live, "client" | "saver" | "userSession">,
  request: ExportRequest,
  location: SaveLocation,
): Promise<StartedExport | undefined> {
  // read before the answer, which adds its export to the list
  const unfinishedBefore = unfinishedIds(userSession.queryClient);
  const { export: started } = await client.exports.create(request);
  if (userSession.ended.aborted) {
    return undefined; // the next user must neither see it nor get its file
  }
  putExport(userSession.queryClient, started);
  void saver.save(started, location);
  return { export: started, joined: unfinishedBefore.has(started.id) };
}

/** Ids of the unfinished exports. An answer with one of them means that the request joined that export. */
function unfinishedIds(queries: QueryClient): Set<string> {
  const pages = queries.getQueryData<InfiniteData<ExportPage>>(queryKeys.exports)?.pages ?? [];
  const items = pages.flatMap((page) => page.items);
  return new Set(items.filter((item) => !hasEnded(item.status)).map((item) => item.id));
}
