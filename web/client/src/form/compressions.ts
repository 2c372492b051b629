import type { Dataset } from "../protocol.js";

/** Returns the compressions of a format, the default first. */
export function compressionsOf(dataset: Dataset, format: string): string[] {
  const info = dataset.formats_info?.find(({ name }) => name === format);
  return info?.compressions ?? dataset.compressions;
}
