/** Slugs of problems that the export's row already reports. */
const SHOWN_BY_EXPORT: readonly string[] = ["canceled", "export-failed", "aborted"];

/** Slugs of problems after which no download can resume an unfinished file. */
const UNRECOVERABLE: readonly string[] = [
  ...SHOWN_BY_EXPORT,
  "expired",
  "not-found",
  "forbidden",
  "digest-mismatch",
];

/** Returns whether the export's row already reports the problem. */
export function isShownByExport(slug: string): boolean {
  return SHOWN_BY_EXPORT.includes(slug);
}

/** Returns whether no later download can resume the received bytes. */
export function isUnrecoverable(slug: string): boolean {
  return UNRECOVERABLE.includes(slug);
}
