import type { FieldError, Problem } from "./contract.js";

/** The problem slugs of the server, documented at `/problems/<slug>`. */
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

/** A problem slug that the server sends. */
export type ServerSlug = (typeof SERVER_SLUGS)[number];

/**
 * A problem that the client detects: no answer (`network`), a late answer (`timeout`), a digest that differs from the
 * seal (`digest-mismatch`), a message that violates the protocol (`protocol`), a call aborted by the caller
 * (`aborted`), a sink that fails (`sink`) or that is full (`no-room`), a cancellation that the server has not confirmed
 * (`cancel-unconfirmed`).
 */
export type ClientSlug =
  | "network"
  | "timeout"
  | "digest-mismatch"
  | "protocol"
  | "aborted"
  | "sink"
  | "no-room"
  | "cancel-unconfirmed";

/** Every slug that an error of this SDK can have. */
export type Slug = ServerSlug | ClientSlug;

/** A problem document that may come from a proxy: only the members that identify the problem are required. */
export type ReceivedProblem = Pick<Problem, "type" | "title" | "status"> & Partial<Problem>;

/** The error class of every rejection of this SDK. */
export class SluiceError extends Error {
  override readonly name = "SluiceError";
  /** Stable machine-readable name of the problem. */
  readonly slug: Slug;
  /** Short human-readable summary of the slug. */
  readonly title: string;
  /** Explanation of this occurrence, if known. */
  readonly detail: string | undefined;
  /** HTTP status; 0 for problems without an HTTP response. */
  readonly status: number;
  /** Invalid fields of the request. */
  readonly errors: readonly FieldError[];
  /** Id of the request in the server's traces. */
  readonly traceId: string | undefined;
  /** The server's `Retry-After`, in milliseconds. */
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

  /** Creates an error from a problem document. An unknown slug becomes the slug that the status implies. */
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

  /** Creates an error from an HTTP response outside 2xx, with or without a problem document as body. */
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

  /** Wraps any thrown value. A `SluiceError` is returned unchanged. */
  static from(cause: unknown, slug: ClientSlug = "network"): SluiceError {
    if (cause instanceof SluiceError) {
      return cause;
    }
    if (cause instanceof Error && (cause.name === "AbortError" || cause.name === "TimeoutError")) {
      const timedOut = cause.name === "TimeoutError";
      return new SluiceError({
        slug: timedOut ? "timeout" : "aborted",
        title: timedOut ? "No answer in time" : "Aborted by the caller",
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
    return undefined; // not JSON, for example a proxy's error page: the status decides
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

/** Parses `Retry-After` (RFC 9110, seconds or an HTTP date) into milliseconds. */
export function parseRetryAfter(value: string | null, now = Date.now()): number | undefined {
  if (!value) {
    return undefined;
  }
  if (/^\d+$/.test(value.trim())) {
    return Number(value) * 1000;
  }
  const time = Date.parse(value);
  return Number.isNaN(time) ? undefined : Math.max(0, time - now);
}
