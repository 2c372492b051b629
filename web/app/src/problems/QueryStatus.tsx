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
 * Shows a skeleton while a query is loading, or its error. The error stays visible during a retry, so that the layout
 * does not jump. An error of a refetch is hidden while the connection is down, because the connection badge already
 * reports it.
 */
export function QueryStatus({ query, height }: { query: ObservedQuery; height: number }) {
  const { connection } = useLive();
  const lastError = useRef<Error>(null);
  const hiddenError = useRef<Error>(null);
  const hasData = query.data !== undefined;
  if (query.error || hasData) {
    lastError.current = query.error;
  }
  const disconnected = connection.name !== "live" && connection.name !== "limited";
  if (disconnected && hasData && lastError.current && isTransient(lastError.current)) {
    // stays hidden when the connection returns, because the query is fetched again
    hiddenError.current = lastError.current;
  }
  if (lastError.current && lastError.current !== hiddenError.current) {
    return (
      <ProblemAlert
        error={lastError.current}
        onRetry={() => void query.refetch()}
        retrying={query.isFetching}
      />
    );
  }
  return (
    query.isPending && <Skeleton height={height} radius="md" role="status" aria-label={strings.loading} />
  );
}
