import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useLive } from "./LiveProvider.js";
import { mergeCached, mergePushed, queryKeys } from "./queryCache.js";
import { retryInterval } from "./retryPolicy.js";

/** Poll interval without a live session or after a temporary problem, in milliseconds. */
const POLL_MS = 4_000;

interface ObservedQuery {
  state: { error: Error | null };
}

/** Returns the refetch interval after a temporary problem, because no event reports its end. */
function retryAfterProblem(query: ObservedQuery): number | false {
  return retryInterval(query.state.error, POLL_MS);
}

function usePolling(): (query: ObservedQuery) => number | false {
  const pushed = ["live", "limited"].includes(useLive().connection.name);
  return (query) => retryAfterProblem(query) || (pushed ? false : POLL_MS);
}

/** Queries the datasets that the user may export. */
export function useDatasets() {
  const { client } = useLive();
  return useQuery({
    queryKey: queryKeys.datasets,
    queryFn: ({ signal }) => client.datasets.list({ signal }),
    refetchInterval: retryAfterProblem,
  });
}

/** Queries the user's exports, newest first. */
export function useExports() {
  const { client } = useLive();
  const queries = useQueryClient();
  return useInfiniteQuery({
    queryKey: queryKeys.exports,
    queryFn: async ({ pageParam, signal }) => {
      const page = await client.exports.list(
        { limit: 20, ...(pageParam ? { cursor: pageParam } : undefined) },
        { signal },
      );
      const items = page.items.map((item) => mergeCached(queries, item));
      return { ...page, items: pageParam ? items : mergePushed(queries, items) };
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval: usePolling(),
  });
}

/** Filter of the history. */
export interface HistoryQuery {
  status?: string;
  dataset?: string;
}

/** Queries the user's exports with a status or dataset, 100 a page. */
export function useHistory(query: HistoryQuery) {
  const { client } = useLive();
  const queries = useQueryClient();
  return useInfiniteQuery({
    queryKey: queryKeys.history(query),
    queryFn: async ({ pageParam, signal }) => {
      const page = await client.exports.list(
        { limit: 100, ...query, ...(pageParam ? { cursor: pageParam } : undefined) },
        { signal },
      );
      return { ...page, items: page.items.map((item) => mergeCached(queries, item)) };
    },
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval: retryAfterProblem,
  });
}

/** Queries one export of the user. */
export function useExport(id: string) {
  const { client } = useLive();
  const queries = useQueryClient();
  return useQuery({
    queryKey: queryKeys.export(id),
    queryFn: async ({ signal }) => mergeCached(queries, await client.exports.get(id, { signal })),
    refetchInterval: usePolling(),
  });
}

/** Queries the user's credit account. */
export function useCredits() {
  const { client } = useLive();
  return useQuery({
    queryKey: queryKeys.credits,
    queryFn: ({ signal }) => client.credits({ signal }),
    refetchInterval: usePolling(),
  });
}

/** Queries the API keys of the user's tenant, newest first. */
export function useKeys() {
  const { client } = useLive();
  return useQuery({
    queryKey: queryKeys.keys,
    queryFn: ({ signal }) => client.keys.list({ signal }),
    refetchInterval: retryAfterProblem,
  });
}
