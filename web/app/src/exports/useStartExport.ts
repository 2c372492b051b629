import type { Export, ExportRequest } from "@sluice/client";
import { useMutation } from "@tanstack/react-query";
import { useLive } from "../live/LiveProvider.js";
import { queryKeys } from "../live/queryCache.js";
import { canChooseFile } from "../saving/browserSupport.js";
import type { SaveLocation } from "../saving/fileSaver.js";
import { chooseFile, loadSaveLocation } from "../saving/saveLocation.js";
import { type StartedExport, startExport } from "./startExport.js";

/** An export to be started. */
export interface StartExport {
  request: ExportRequest;
  /** About how large its file will be, bytes. */
  size?: number | undefined;
}

/** Starts an export and saves its file; the place is asked for first, where the person wants to be asked. */
export function useStartExport(onStarted?: (started: Export) => void) {
  const live = useLive();
  return useMutation({
    mutationFn: async ({ request, size }: StartExport): Promise<StartedExport | undefined> => {
      const place = await chooseLocation(request, size);
      // they may think better of it: then nothing is asked for, and nothing is charged
      return place && startExport(live, request, place);
    },
    onSuccess: (started) => {
      if (started) {
        onStarted?.(started.export);
      }
      if (live.connection.name !== "live") {
        void live.userSession.queryClient.invalidateQueries({ queryKey: queryKeys.credits });
      }
    },
  });
}

async function chooseLocation(
  { dataset, format }: ExportRequest,
  size: number | undefined,
): Promise<SaveLocation | undefined> {
  if (loadSaveLocation() === "file" && canChooseFile(window)) {
    return chooseFile(`${dataset}.${format ?? "csv"}`);
  }
  return { kind: "downloads", size };
}
