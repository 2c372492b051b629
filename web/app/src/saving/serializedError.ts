import { type FieldError, type Slug, SluiceError } from "@sluice/client";
import { SaveError, type SaveErrorReason } from "./saveError.js";

/** An error as a plain object, for messages between worker and page. */
export interface SerializedError {
  slug: Slug;
  title: string;
  detail: string | undefined;
  status: number;
  errors: readonly FieldError[];
  traceId: string | undefined;
  reason?: SaveErrorReason;
}

/** Converts any thrown value to a plain object. */
export function serializeError(cause: unknown): SerializedError {
  const { slug, title, detail, status, errors, traceId } = SluiceError.from(cause, "protocol");
  const reason = cause instanceof SaveError ? { reason: cause.reason } : undefined;
  return { slug, title, detail, status, errors, traceId, ...reason };
}

/** Converts the plain object back to an error. */
export function deserializeError(plain: SerializedError): SluiceError {
  return plain.reason ? new SaveError(plain.reason) : new SluiceError(plain);
}
