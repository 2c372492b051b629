import { Skeleton } from "@mantine/core";
import { useRef } from "react";
import { isBusy } from "../live/passing.js";
import { strings } from "../strings.js";
import { ProblemAlert } from "./ProblemAlert.js";

interface Asked {
  data: unknown;
  error: Error | null;
  isPending: boolean;
  isFetching: boolean;
  refetch: () => Promise<unknown>;
}

/**
 * In place of an answer: that it is on its way, or why there is none. The latter stays while it is asked for again, so that
 * nothing moves under a finger, and nobody is told twice: where an answer is in sight, that a newer one can't be had just
 * now is what the connection state says.
 */
export function Awaited({ query, height }: { query: Asked; height: number }) {
  const last = useRef<Error>(null);
  const answered = query.data !== undefined;
  if (query.error || answered) {
    last.current = query.error && answered && isBusy(query.error) ? null : query.error;
  }
  if (last.current) {
    return (
      <ProblemAlert error={last.current} onRetry={() => void query.refetch()} retrying={query.isFetching} />
    );
  }
  return (
    query.isPending && <Skeleton height={height} radius="md" role="status" aria-label={strings.loading} />
  );
}
