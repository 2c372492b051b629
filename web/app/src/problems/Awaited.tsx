import { Skeleton } from "@mantine/core";
import { useRef } from "react";
import { useLive } from "../live/LiveProvider.js";
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
 * nothing moves under a finger. And nobody is told twice: where an answer is in sight, the connection state says that no
 * newer one can be had while nothing comes.
 */
export function Awaited({ query, height }: { query: Asked; height: number }) {
  const { connection } = useLive();
  const last = useRef<Error>(null);
  const told = useRef<Error>(null);
  const answered = query.data !== undefined;
  if (query.error || answered) {
    last.current = query.error;
  }
  const away = connection.name !== "live" && connection.name !== "limited";
  if (away && answered && last.current && isBusy(last.current)) {
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
