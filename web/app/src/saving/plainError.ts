import { type FieldError, type Slug, SluiceError } from "@sluice/client";
import { OwnProblem, type Why } from "./ownProblem.js";

/** An error as it goes from a worker to the page, as classes do not. */
export interface PlainError {
  slug: Slug;
  title: string;
  detail: string | undefined;
  status: number;
  errors: readonly FieldError[];
  traceId: string | undefined;
  why?: Why;
}

/** What can be told of whatever was thrown. */
export function toPlain(cause: unknown): PlainError {
  const { slug, title, detail, status, errors, traceId } = SluiceError.from(cause, "protocol");
  const why = cause instanceof OwnProblem ? { why: cause.why } : undefined;
  return { slug, title, detail, status, errors, traceId, ...why };
}

/** The error again. */
export function fromPlain(plain: PlainError): SluiceError {
  return plain.why ? new OwnProblem(plain.why) : new SluiceError(plain);
}
