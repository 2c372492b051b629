import { type FieldError, type Slug, SluiceError } from "@sluice/client";

/** An error as it goes from a worker to the page, as classes do not. */
export interface PlainError {
  slug: Slug;
  title: string;
  detail: string | undefined;
  status: number;
  errors: readonly FieldError[];
  traceId: string | undefined;
}

/** What can be told of whatever was thrown. */
export function toPlain(cause: unknown): PlainError {
  const { slug, title, detail, status, errors, traceId } = SluiceError.from(cause, "protocol");
  return { slug, title, detail, status, errors, traceId };
}

/** The error again. */
export function fromPlain(plain: PlainError): SluiceError {
  return new SluiceError(plain);
}
