import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useLive } from "./LiveProvider.js";
import { mergeCached, mergePushed, queryKeys } from "./queryCache.js";
import { retryInterval } from "./retryPolicy.js";

/** How often the page asks while nothing is pushed or the last answer was a problem that may pass, in milliseconds. */
const POLL_MS = 4_000;

interface ObservedQuery {
  state: { error: Error | null };
}

/** Asks again after a problem that may pass: nothing that is pushed later would say that it has. */
function afterProblem(query: ObservedQuery): number | false {
  return retryInterval(query.state.error, POLL_MS);
}

function usePolling(): (query: ObservedQuery) => number | false {
  const pushed = ["live", "limited"].includes(useLive().connection.name);
  return (query) => afterProblem(query) || (pushed ? false : POLL_MS);
}

/** The datasets that the person may export. */
export function useDatasets() {
  const { client } = useLive();
  return useQuery({
    queryKey: queryKeys.datasets,
    queryFn: ({ signal }) => client.datasets.list({ signal }),
    refetchInterval: afterProblem,
  });
}

/** The person's exports, newest first. */
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

/** What a history is narrowed to. */
export interface HistoryQuery {
  status?: string;
  dataset?: string;
}

/** The person's exports of some status or dataset, many at a time. */
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
    refetchInterval: afterProblem,
  });
}

/** One export. */
export function useExport(id: string) {
  const { client } = useLive();
  const queries = useQueryClient();
  return useQuery({
    queryKey: queryKeys.export(id),
    queryFn: async ({ signal }) => mergeCached(queries, await client.exports.get(id, { signal })),
    refetchInterval: usePolling(),
  });
}

/** The person's credit account. */
export function useCredits() {
  const { client } = useLive();
  return useQuery({
    queryKey: queryKeys.credits,
    queryFn: ({ signal }) => client.credits({ signal }),
    refetchInterval: usePolling(),
  });
}
