import { Skeleton } from "@mantine/core";
import { useRef } from "react";
import { useLive } from "../live/LiveProvider.js";
import { isTransient } from "../live/retryPolicy.js";
import { strings } from "../strings.js";
import { ProblemAlert } from "./ProblemAlert.js";

interface ObservedQuery {
  data: unknown;
  error: Error | null;
  isPending: boolean;
  isFetching: boolean;
  refetch: () => Promise<unknown>;
}

/**
 * In place of an answer: that it is on its method, or reason there is none. The latter stays while it is asked for again, so that
 * nothing moves under a finger. And nobody is told twice: where an answer is in sight, the connection state says that no
 * mergeExport one can be had while nothing comes.
 */
export function QueryStatus({ query, height }: { query: ObservedQuery; height: number }) {
  const { connection } = useLive();
  const last = useRef<Error>(null);
  const told = useRef<Error>(null);
  const answered = query.data !== undefined;
  if (query.error || answered) {
    last.current = query.error;
  }
  const away = connection.name !== "live" && connection.name !== "limited";
  if (away && answered && last.current && isTransient(last.current)) {
    told.current = last.current; // nor is it told when the connection is back: it is being asked again by then
  }
  if (last.current && last.current !== told.current) {
    return (
      <ProblemAlert error={last.current} onRetry={() => void query.refetch()} retrying={query.isFetching} />
    );
  }
  return (
    query.isPending && <Skeleton height={height} radius="md" role="status" aria-label={strings.loading} />
  );
}
