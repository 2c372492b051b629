/** Ends that the export's own row tells: what befell the download itself is nothing more. */
const SHOWN_BY_EXPORT: readonly string[] = ["canceled", "export-failed", "aborted"];

/** After these an unfinished file is of no use any more. */
const UNRECOVERABLE: readonly string[] = [
  ...SHOWN_BY_EXPORT,
  "expired",
  "not-found",
  "forbidden",
  "digest-mismatch",
];

/** Whether the export's own row says what has happened. */
export function isShownByExport(slug: string): boolean {
  return SHOWN_BY_EXPORT.includes(slug);
}

/** Whether nobody will ever go on with what has come so far. */
export function isUnrecoverable(slug: string): boolean {
  return UNRECOVERABLE.includes(slug);
}
