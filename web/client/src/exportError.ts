import type { Problem } from "./contract.js";
import { SluiceError } from "./errors.js";

/** Returns the error of an export that ended without a file; `undefined` while the export has a file or may get one. */
export function exportError(current: { status: string; problem?: Problem | null }): SluiceError | undefined {
  if (current.status === "unchanged") {
    return new SluiceError({ slug: "not-found", title: "The rows had not changed, so this run has no file" });
  }
  if (current.status !== "failed" && current.status !== "canceled" && current.status !== "expired") {
    return undefined;
  }
  if (current.problem) {
    return SluiceError.fromProblem(current.problem);
  }
  const slug = current.status === "failed" ? "export-failed" : current.status;
  return new SluiceError({ slug, title: `The export is ${current.status}` });
}
