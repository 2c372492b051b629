import { useDebouncedValue } from "@mantine/hooks";
import { type Estimate, type ExportRequest, SluiceError } from "@sluice/client";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useLive } from "../live/LiveProvider.js";
import { queryKeys } from "../live/queryCache.js";

/** Debounce delay after the last change of the form, in milliseconds. */
const DEBOUNCE_MS = 400;

/** How long an estimate stays fresh, in milliseconds. */
const FRESH_MS = 60_000;

const SUPPORTED_KEY = ["can-estimate"] as const;

/** Result of {@link useEstimate}. */
export interface Estimated {
  /** The last estimate, which is of the previous request while a newer estimate is loading. */
  estimate: Estimate | undefined;
  /** Whether an estimate is loading. */
  pending: boolean;
  /** Error of the last estimate. */
  error: SluiceError | undefined;
  /** Whether this gateway has no estimates. */
  unsupported: boolean;
  /** Requests the estimate again. */
  retry: () => void;
}

/** Estimates a request after it has changed, with a debounce delay. An incomplete request is not sent. */
export function useEstimate(request: ExportRequest | undefined): Estimated {
  const { client } = useLive();
  const queries = useQueryClient();
  const [debounced] = useDebouncedValue(request && JSON.stringify(request), DEBOUNCE_MS);
  const unsupported = queries.getQueryData(SUPPORTED_KEY) === false;
  const query = useQuery({
    queryKey: queryKeys.estimate(debounced ?? ""),
    queryFn: async ({ signal }) => {
      try {
        return await client.exports.estimate(JSON.parse(debounced ?? "{}") as ExportRequest, { signal });
      } catch (cause) {
        const { status } = SluiceError.from(cause);
        if (status === 404 || status === 405) {
          queries.setQueryData(SUPPORTED_KEY, false);
          return null;
        }
        throw cause;
      }
    },
    enabled: debounced !== undefined && !unsupported,
    placeholderData: keepPreviousData,
    staleTime: FRESH_MS,
    gcTime: FRESH_MS,
  });
  return {
    estimate: debounced === undefined ? undefined : (query.data ?? undefined),
    pending: query.isFetching,
    error: query.error ? SluiceError.from(query.error) : undefined,
    unsupported: unsupported || query.data === null,
    retry: () => void query.refetch(),
  };
}
