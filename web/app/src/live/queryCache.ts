import type { Credits, Export, ExportPage, SluiceClient } from "@sluice/client";
import type { InfiniteData, QueryClient } from "@tanstack/react-query";
import { applyProgress, mergeExport } from "./mergeExport.js";

/** Query keys of the data that events update. */
export const queryKeys = {
  /** Prefix of all lists of exports. */
  lists: ["exports"] as const,
  exports: ["exports", "recent"] as const,
  history: (query: object) => ["exports", "history", query] as const,
  export: (id: string) => ["export", id] as const,
  /** Exports from events that no list contains yet, newest first. */
  pushed: ["pushed"] as const,
  credits: ["credits"] as const,
  datasets: ["datasets"] as const,
  keys: ["keys"] as const,
  /** Prefix of all data of operators. */
  operate: ["operate"] as const,
  overview: ["operate", "overview"] as const,
  found: (query: object) => ["operate", "exports", query] as const,
  deadLetters: (total: number) => ["operate", "dead-letters", total] as const,
  story: (id: string) => ["operate", "story", id] as const,
  /** Prefix of all estimates. */
  estimates: ["estimate"] as const,
  estimate: (request: string) => ["estimate", request] as const,
};

/** Applies server events to the query cache. Returns a function that removes the listeners. */
export function syncQueryCache(client: SluiceClient, queries: QueryClient): () => void {
  const refetch = () => {
    for (const queryKey of [
      queryKeys.lists,
      ["export"],
      queryKeys.credits,
      queryKeys.datasets,
      queryKeys.estimates,
    ]) {
      void queries.invalidateQueries({ queryKey });
    }
  };
  const put = (message: { export: Export }) => putExport(queries, message.export);
  const subscriptions = [
    client.on("session.ready", refetch),
    client.onResync(refetch),
    client.on("export.accepted", put),
    client.on("export.completed", put),
    client.on("export.unchanged", put),
    client.on("export.failed", put),
    client.on("export.canceled", put),
    client.on("export.expired", put),
    client.on("export.progress", ({ export_id, progress }) => {
      patchExports(queries, export_id, (current) => applyProgress(current, progress, Date.now()));
    }),
    client.on("credits.changed", ({ balance, held }) => {
      queries.setQueryData<Credits>(queryKeys.credits, (current) => current && { ...current, balance, held });
      void queries.invalidateQueries({ queryKey: queryKeys.credits }); // only REST returns the new account entry
    }),
  ];
  return () => {
    for (const unsubscribe of subscriptions) {
      unsubscribe();
    }
  };
}

/** Maximum number of new exports that are kept until a list contains them. */
const MAX_PUSHED = 20;

/** Adds an export to the lists, or replaces it in place. */
export function putExport(queries: QueryClient, given: Export): void {
  queries.setQueryData<Export[]>(queryKeys.pushed, (known = []) =>
    [given, ...known.filter((item) => item.id !== given.id)].slice(0, MAX_PUSHED),
  );
  queries.setQueryData<InfiniteData<ExportPage>>(queryKeys.exports, (data) => {
    const [first, ...rest] = data?.pages ?? [];
    if (!data || !first || data.pages.some((page) => page.items.some((item) => item.id === given.id))) {
      return data;
    }
    return { ...data, pages: [{ ...first, items: [given, ...first.items] }, ...rest] };
  });
  patchExports(queries, given.id, (current) => mergeExport(current, given));
  void queries.invalidateQueries({ queryKey: queryKeys.history({}).slice(0, 2) });
}

function patchExports(queries: QueryClient, id: string, patch: (current: Export) => Export): void {
  queries.setQueriesData<InfiniteData<ExportPage>>({ queryKey: queryKeys.lists }, (data) => {
    if (!data?.pages.some((page) => page.items.some((item) => item.id === id))) {
      return data; // unchanged data causes no rendering
    }
    return {
      ...data,
      pages: data.pages.map((page) => ({
        ...page,
        items: page.items.map((item) => (item.id === id ? patch(item) : item)),
      })),
    };
  });
  queries.setQueryData<Export>(queryKeys.export(id), (current) => current && patch(current));
}

/** Merges the newest exports of a REST answer with exports from events that arrived during the request. */
export function mergePushed(queries: QueryClient, items: Export[]): Export[] {
  const newest = items[0]?.id ?? "";
  // ids are ordered by time: an older export belongs to a later page
  const later = (queries.getQueryData<Export[]>(queryKeys.pushed) ?? []).filter((item) => item.id > newest);
  const sorted = later.sort((a, b) => (a.id < b.id ? 1 : -1));
  return [...sorted.map((item) => mergeCached(queries, item)), ...items];
}

/** Merges a REST answer with the cache, which may be newer because of an event that arrived during the request. */
export function mergeCached(queries: QueryClient, given: Export): Export {
  const lists = queries.getQueriesData<InfiniteData<ExportPage>>({ queryKey: queryKeys.lists });
  const known = [
    queries.getQueryData<Export>(queryKeys.export(given.id)),
    ...(queries.getQueryData<Export[]>(queryKeys.pushed) ?? []),
    ...lists.flatMap(([, data]) => data?.pages.flatMap((page) => page.items) ?? []),
  ];
  return known
    .filter((item) => item?.id === given.id)
    .reduce<Export>((latest, item) => (item && mergeExport(item, latest)) ?? latest, given);
}
