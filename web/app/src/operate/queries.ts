import type { OperateQuery, Overview } from "@sluice/client";
import { useInfiniteQuery, useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect } from "react";
import { useLive } from "../live/LiveProvider.js";
import { queryKeys } from "../live/queryCache.js";
import { retryInterval } from "../live/retryPolicy.js";

/** Poll interval without a live session or after a temporary problem, in milliseconds. */
const POLL_MS = 4_000;

/** Queries the state of the installation, and keeps it current while the component is shown. */
export function useOverview() {
  const { client, connection } = useLive();
  const queries = useQueryClient();
  useEffect(
    () => client.operate.watch((overview) => queries.setQueryData<Overview>(queryKeys.overview, overview)),
    [client, queries],
  );
  const pushed = connection.name === "live";
  return useQuery({
    queryKey: queryKeys.overview,
    queryFn: ({ signal }) => client.operate.overview({ signal }),
    refetchInterval: (query) => retryInterval(query.state.error, POLL_MS) || (pushed ? false : POLL_MS),
  });
}

/** Finds exports of all owners, newest first. */
export function useFoundExports(query: OperateQuery) {
  const { client } = useLive();
  return useInfiniteQuery({
    queryKey: queryKeys.found(query),
    queryFn: ({ pageParam, signal }) =>
      client.operate.exports(
        { ...query, limit: 25, ...(pageParam ? { cursor: pageParam } : undefined) },
        { signal },
      ),
    initialPageParam: "",
    getNextPageParam: (page) => page.next_cursor ?? undefined,
    refetchInterval: (found) => retryInterval(found.state.error, POLL_MS),
  });
}

/** Queries the whole story of one export, again and again until the export has ended. */
export function useStory(id: string) {
  const { client } = useLive();
  return useQuery({
    queryKey: queryKeys.story(id),
    queryFn: ({ signal }) => client.operate.story(id, { signal }),
    refetchInterval: (query) => {
      const status = query.state.data?.summary.status;
      const unfinished = status === "queued" || status === "dispatched" || status === "running";
      return retryInterval(query.state.error, POLL_MS) || (unfinished ? POLL_MS : false);
    },
  });
}
