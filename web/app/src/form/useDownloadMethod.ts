import { useEffect, useState } from "react";
import { useLive } from "../live/LiveProvider.js";
import type { DownloadMethod } from "../saving/saveMethod.js";

/** Returns how a file of this size in bytes gets into the downloads; `undefined` until that is known. */
export function useDownloadMethod(size: number | undefined): DownloadMethod | undefined {
  const { saver } = useLive();
  const [method, setMethod] = useState<DownloadMethod>();
  useEffect(() => {
    let isCurrent = true;
    saver.downloadMethod(size).then((found) => {
      if (isCurrent) {
        setMethod(found);
      }
    }, reportError);
    return () => {
      isCurrent = false;
    };
  }, [saver, size]);
  return method;
}
