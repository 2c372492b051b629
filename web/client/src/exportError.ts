import type { Problem } from "./contract.js";
import { SluiceError } from "./errors.js";

/** The error that an export's end means for its file; `undefined` while there is or may be one. */
export function exportError(current: { status: string; problem?: Problem | null }): SluiceError | undefined {
  if (current.status !== "failed" && current.status !== "canceled" && current.status !== "expired") {
    return undefined;
  }
  if (current.problem) {
    return SluiceError.fromProblem(current.problem);
  }
  const slug = current.status === "failed" ? "export-failed" : current.status;
  return new SluiceError({ slug, title: `The export is ${current.status}` });
}
