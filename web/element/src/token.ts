import { type Slug, SluiceError, type TokenProvider } from "@sluice/client";

/** Where an element gets its token. A provider comes first, then a token, then the address. */
export interface TokenSource {
  tokenProvider: TokenProvider | undefined;
  token: string | undefined;
  /** Address of the page's own server that answers with the token of the signed-in user. */
  tokenUrl: string | undefined;
  /** Address of the gateway, which receives the token. */
  baseUrl: string;
}

/** What the page and the script say about themselves. */
export interface PageContext {
  /** Origin of the page. */
  origin: string;
  /** Address to which relative addresses belong; markup may set it by `<base>`. */
  documentBase: string;
  /** Address of the gateway that served the script, with a trailing slash; `undefined` when it came from elsewhere. */
  scriptBase: string | undefined;
  fetch: typeof fetch;
}

/** Maximum wait for the page's own server and for a provider, in milliseconds. */
const TIMEOUT_MS = 30_000;

/**
 * Why there is no token: the page has set no source (`missing`), `token-url` may not be used here (`refused`), its
 * server answered with a status outside 2xx (`endpoint`) or without a token (`answer`), the page's function or the
 * connection to its server failed (`provider`), or one of them gave no answer in time (`timeout`).
 */
export type TokenFailure = "missing" | "refused" | "endpoint" | "answer" | "provider" | "timeout";

/** The error of a token that the page does not give. */
export class TokenError extends SluiceError {
  readonly reason: TokenFailure;

  constructor(
    reason: TokenFailure,
    detail: string,
    init: { slug?: Slug; status?: number; cause?: unknown } = {},
  ) {
    super({ slug: "unauthorized", title: "No token", detail, ...init });
    this.reason = reason;
  }
}

/**
 * Returns the token of the current user.
 *
 * @throws TokenError when the source has none, and the error of `fetch` when the page's own server can't be reached.
 */
export async function tokenOf(
  source: TokenSource,
  request: { refresh: boolean },
  page: PageContext,
): Promise<string> {
  if (source.tokenProvider) {
    return provide(source.tokenProvider, request);
  }
  if (source.token) {
    return source.token;
  }
  if (source.tokenUrl !== undefined) {
    return fetchToken(source.tokenUrl, source.baseUrl, page);
  }
  throw new TokenError("missing", "set token, tokenProvider or token-url");
}

/** Calls the page's function, and waits for a limited time. */
async function provide(tokenProvider: TokenProvider, request: { refresh: boolean }): Promise<string> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    const detail = `tokenProvider gave no token within ${TIMEOUT_MS / 1000} s`;
    timer = setTimeout(() => reject(new TokenError("timeout", detail, { slug: "timeout" })), TIMEOUT_MS);
  });
  try {
    const token: unknown = await Promise.race([tokenProvider(request), late]);
    if (typeof token !== "string" || token === "") {
      throw new TokenError("answer", "tokenProvider returned no text");
    }
    return token;
  } catch (cause) {
    if (cause instanceof SluiceError) {
      throw cause;
    }
    const detail = `tokenProvider failed: ${cause instanceof Error ? cause.message : String(cause)}`;
    // the slug of a broken connection, so that a running download tries again
    throw new TokenError("provider", detail, { slug: "network", cause });
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Fetches the token from the page's own server, with its cookies. Markup alone decides about this request, so both ends
 * are fixed: only the page's own origin is asked, and only the gateway that served the script gets the answer.
 */
async function fetchToken(tokenUrl: string, baseUrl: string, page: PageContext): Promise<string> {
  const url = URL.canParse(tokenUrl, page.documentBase) ? new URL(tokenUrl, page.documentBase) : undefined;
  if (url?.origin !== page.origin) {
    throw new TokenError("refused", `token-url must be an address of this page's origin, ${page.origin}`);
  }
  if (!isScriptGateway(baseUrl, page.scriptBase)) {
    const detail = "token-url needs the script of the gateway at base-url; use tokenProvider instead";
    throw new TokenError("refused", detail);
  }
  const asked = page.fetch(url, {
    method: "POST",
    headers: { accept: "application/json" },
    credentials: "same-origin",
    cache: "no-store",
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const response = await asked.catch((cause: unknown) => {
    const { slug, detail } = SluiceError.from(cause);
    const reason = slug === "timeout" ? "timeout" : "provider";
    throw new TokenError(reason, `token-url gave no answer: ${detail ?? slug}`, { slug, cause });
  });
  if (!response.ok) {
    const { status } = response;
    const slug = status >= 500 ? "unavailable" : "unauthorized"; // other slugs would speak of the export
    throw new TokenError("endpoint", `token-url answered with status ${status}`, { slug, status });
  }
  const body: unknown = await response.json().catch(() => undefined);
  const token = (body as { token?: unknown } | undefined)?.token;
  if (typeof token !== "string" || token === "") {
    throw new TokenError("answer", "the answer of token-url is not JSON with a token");
  }
  return token;
}

/** Returns whether the address is that of the gateway that served the script. */
export function isScriptGateway(baseUrl: string, scriptBase: string | undefined): boolean {
  return (
    scriptBase !== undefined &&
    new URL(baseUrl.endsWith("/") ? baseUrl : `${baseUrl}/`, scriptBase).href === scriptBase
  );
}
