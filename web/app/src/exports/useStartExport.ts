import type { Export, ExportRequest } from "@sluice/client";
import { useMutation } from "@tanstack/react-query";
import { useLive } from "../live/LiveProvider.js";
import { queryKeys } from "../live/queryCache.js";
import { canChooseFile } from "../saving/browserSupport.js";
import type { SaveLocation } from "../saving/fileSaver.js";
import { chooseFile, loadSaveLocation } from "../saving/saveLocation.js";
import { type StartedExport, startExport } from "./startExport.js";

/** Input of the mutation that starts an export. */
export interface StartExport {
  request: ExportRequest;
  /** Estimated size of the file in bytes. */
  size?: number | undefined;
}

/** Starts an export and saves its file. Opens the file dialog first, if the user has chosen so. */
export function useStartExport(onStarted?: (started: Export) => void) {
  const live = useLive();
  return useMutation({
    mutationFn: async ({ request, size }: StartExport): Promise<StartedExport | undefined> => {
      const location = await chooseLocation(request, size);
      // if the user closes the dialog, the page starts no export, and the user pays nothing
      return location && startExport(live, request, location);
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
