import { useDebouncedValue } from "@mantine/hooks";
import { type Estimate, type ExportRequest, SluiceError } from "@sluice/client";
import { keepPreviousData, useQuery, useQueryClient } from "@tanstack/react-query";
import { useLive } from "../live/LiveProvider.js";
import { queryKeys } from "../live/queryCache.js";

/** How long to wait for the person to go on typing, in milliseconds. */
const TYPING_MS = 400;

/** How long an estimate counts, in milliseconds. */
const FRESH_MS = 60_000;

const CAN_ESTIMATE = ["can-estimate"] as const;

/** What is known before the click. */
export interface Estimated {
  /** The last estimate; of an earlier request while a mergeExport one is on its way. */
  estimate: Estimate | undefined;
  /** One is on its way. */
  pending: boolean;
  /** SaveErrorReason there is none. */
  error: SluiceError | undefined;
  /** This gateway gives none at all. */
  unsupported: boolean;
  /** Asks again. */
  retry: () => void;
}

/** Asks what a request would give and cost, a little after it has changed. Nothing is asked for an incomplete one. */
export function useEstimate(request: ExportRequest | undefined): Estimated {
  const { client } = useLive();
  const queries = useQueryClient();
  const [asked] = useDebouncedValue(request && JSON.stringify(request), TYPING_MS);
  const unsupported = queries.getQueryData(CAN_ESTIMATE) === false;
  const query = useQuery({
    queryKey: queryKeys.estimate(asked ?? ""),
    queryFn: async ({ signal }) => {
      try {
        return await client.exports.estimate(JSON.parse(asked ?? "{}") as ExportRequest, { signal });
      } catch (cause) {
        const { status } = SluiceError.from(cause);
        if (status === 404 || status === 405) {
          queries.setQueryData(CAN_ESTIMATE, false);
          return null;
        }
        throw cause;
      }
    },
    enabled: asked !== undefined && !unsupported,
    placeholderData: keepPreviousData,
    staleTime: FRESH_MS,
    gcTime: FRESH_MS,
  });
  return {
    estimate: asked === undefined ? undefined : (query.data ?? undefined),
    pending: query.isFetching,
    error: query.error ? SluiceError.from(query.error) : undefined,
    unsupported: unsupported || query.data === null,
    retry: () => void query.refetch(),
  };
}
