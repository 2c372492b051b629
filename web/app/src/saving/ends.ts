/** Ends that the export's own row tells: what befell the download itself is nothing more. */
const TOLD_ELSEWHERE: readonly string[] = ["canceled", "export-failed", "aborted"];

/** After these an unfinished file is of no use any more. */
const HOPELESS: readonly string[] = [
  ...TOLD_ELSEWHERE,
  "expired",
  "not-found",
  "forbidden",
  "digest-mismatch",
];

/** Whether the export's own row says what has happened. */
export function isToldElsewhere(slug: string): boolean {
  return TOLD_ELSEWHERE.includes(slug);
}

/** Whether nobody will ever go on with what has come so far. */
export function isHopeless(slug: string): boolean {
  return HOPELESS.includes(slug);
}
