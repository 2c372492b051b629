import type { FieldError, Problem } from "./contract.js";

/** The problem slugs that the server documents at `/problems/<slug>`. */
export const SERVER_SLUGS = [
  "unauthorized",
  "forbidden",
  "not-found",
  "invalid-request",
  "unknown-dataset",
  "unknown-template",
  "invalid-filter",
  "credits-exhausted",
  "too-many-exports",
  "idempotency-conflict",
  "restarted",
  "not-ready",
  "expired",
  "canceled",
  "export-failed",
  "too-large",
  "rate-limited",
  "unavailable",
  "internal",
] as const;

/** A problem slug that comes from the server. */
export type ServerSlug = (typeof SERVER_SLUGS)[number];

/**
 * A problem that only the client can see: no answer at all (`network`), an answer that came too late
 * (`timeout`), bytes that do not match the sealed digest (`digest-mismatch`), a message that breaks the
 * contract (`protocol`), a call that its own caller gave up (`aborted`), or a place for the bytes that fails (`sink`) or
 * is full (`no-room`).
 */
export type ClientSlug =
  | "network"
  | "timeout"
  | "digest-mismatch"
  | "protocol"
  | "aborted"
  | "sink"
  | "no-room";

/** Every slug an error of this SDK can carry. */
export type Slug = ServerSlug | ClientSlug;

/** A problem document as anything on the way may have made it: only what identifies it is sure to be there. */
export type ReceivedProblem = Pick<Problem, "type" | "title" | "status"> & Partial<Problem>;

/** Everything this SDK rejects with. */
export class SluiceError extends Error {
  override readonly name = "SluiceError";
  /** What went wrong, as one stable word. */
  readonly slug: Slug;
  /** Short human summary of the slug. */
  readonly title: string;
  /** What is wrong this time, if known. */
  readonly detail: string | undefined;
  /** HTTP status; 0 for problems that never had one. */
  readonly status: number;
  /** Invalid fields, for bad input. */
  readonly errors: readonly FieldError[];
  /** Names the request in the server's traces. */
  readonly traceId: string | undefined;
  /** How long the server asks to wait before the next try, in milliseconds. */
  readonly retryAfterMs: number | undefined;

  constructor(init: {
    slug: Slug;
    title: string;
    detail?: string | undefined;
    status?: number;
    errors?: readonly FieldError[];
    traceId?: string | undefined;
    retryAfterMs?: number | undefined;
    cause?: unknown;
  }) {
    super(
      init.detail ? `${init.title}: ${init.detail}` : init.title,
      init.cause === undefined ? undefined : { cause: init.cause },
    );
    this.slug = init.slug;
    this.title = init.title;
    this.detail = init.detail;
    this.status = init.status ?? 0;
    this.errors = init.errors ?? [];
    this.traceId = init.traceId;
    this.retryAfterMs = init.retryAfterMs;
  }

  /** Maps a problem document. A slug that this version does not know becomes the one its status implies. */
  static fromProblem(problem: ReceivedProblem, retryAfterMs?: number): SluiceError {
    return new SluiceError({
      slug: slugOf(problem),
      title: problem.title,
      detail: problem.detail ?? undefined,
      status: problem.status,
      errors: problem.errors ?? [],
      traceId: problem.trace_id ?? undefined,
      retryAfterMs,
    });
  }

  /** Maps an HTTP response that is not a success, whether or not its body is a problem document. */
  static async fromResponse(response: Response): Promise<SluiceError> {
    const retryAfterMs = parseRetryAfter(response.headers.get("retry-after"));
    const text = await response.text();
    const problem = parseProblem(text);
    if (problem) {
      return SluiceError.fromProblem(problem, retryAfterMs);
    }
    return new SluiceError({
      slug: slugOfStatus(response.status),
      title: response.statusText || `HTTP ${response.status}`,
      status: response.status,
      retryAfterMs,
    });
  }

  /** Wraps whatever a lower layer threw. A `SluiceError` passes through unchanged. */
  static from(cause: unknown, slug: ClientSlug = "network"): SluiceError {
    if (cause instanceof SluiceError) {
      return cause;
    }
    if (cause instanceof Error && (cause.name === "AbortError" || cause.name === "TimeoutError")) {
      const late = cause.name === "TimeoutError";
      return new SluiceError({
        slug: late ? "timeout" : "aborted",
        title: late ? "No answer in time" : "Stopped",
        cause,
      });
    }
    const detail = cause instanceof Error ? cause.message : String(cause);
    return new SluiceError({ slug, title: "The server could not be reached", detail, cause });
  }
}

function parseProblem(text: string): ReceivedProblem | undefined {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    return undefined; // not JSON at all, such as a proxy's page: the status speaks
  }
  if (typeof body !== "object" || body === null) {
    return undefined;
  }
  const problem = body as Partial<Problem>;
  return typeof problem.type === "string" && typeof problem.title === "string"
    ? { ...problem, type: problem.type, title: problem.title, status: problem.status ?? 0 }
    : undefined;
}

function slugOf(problem: ReceivedProblem): Slug {
  const last = problem.type.split(/[/#]/).pop() ?? "";
  return (SERVER_SLUGS as readonly string[]).includes(last)
    ? (last as ServerSlug)
    : slugOfStatus(problem.status);
}

function slugOfStatus(status: number): ServerSlug {
  switch (status) {
    case 401:
      return "unauthorized";
    case 403:
      return "forbidden";
    case 404:
      return "not-found";
    case 410:
      return "expired";
    case 413:
      return "too-large";
    case 429:
      return "rate-limited";
    case 502:
    case 503:
    case 504:
      return "unavailable";
    default:
      return status >= 400 && status < 500 ? "invalid-request" : "internal";
  }
}

/** `Retry-After` in milliseconds: seconds or an HTTP date. */
export function parseRetryAfter(value: string | null, now = Date.now()): number | undefined {
  if (!value) {
    return undefined;
  }
  if (/^\d+$/.test(value.trim())) {
    return Number(value) * 1000;
  }
  const at = Date.parse(value);
  return Number.isNaN(at) ? undefined : Math.max(0, at - now);
}
