import { type FieldError, type Slug, SluiceError } from "@sluice/client";
import { SaveError, type SaveErrorReason } from "./saveError.js";

/** An error as it goes from a worker to the page, as classes do not. */
export interface SerializedError {
  slug: Slug;
  title: string;
  detail: string | undefined;
  status: number;
  errors: readonly FieldError[];
  traceId: string | undefined;
  reason?: SaveErrorReason;
}

/** What can be told of whatever was thrown. */
export function serializeError(cause: unknown): SerializedError {
  const { slug, title, detail, status, errors, traceId } = SluiceError.from(cause, "protocol");
  const reason = cause instanceof SaveError ? { reason: cause.reason } : undefined;
  return { slug, title, detail, status, errors, traceId, ...reason };
}

/** The error again. */
export function deserializeError(plain: SerializedError): SluiceError {
  return plain.reason ? new SaveError(plain.reason) : new SluiceError(plain);
}
