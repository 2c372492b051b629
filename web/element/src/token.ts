import { SluiceError, type TokenProvider } from "@sluice/client";

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
  /** Address of the page. */
  pageUrl: string;
  /** Address of the gateway that served the script, with a trailing slash; `undefined` when it came from elsewhere. */
  scriptBase: string | undefined;
  fetch: typeof fetch;
}

/** Maximum wait for the page's own server, in milliseconds. */
const TIMEOUT_MS = 30_000;

/**
 * Returns the token of the current user.
 *
 * @throws SluiceError `unauthorized` when the source has none.
 */
export async function tokenOf(
  source: TokenSource,
  request: { refresh: boolean },
  page: PageContext,
): Promise<string> {
  if (source.tokenProvider) {
    return source.tokenProvider(request);
  }
  if (source.token) {
    return source.token;
  }
  if (source.tokenUrl !== undefined) {
    return fetchToken(source.tokenUrl, source.baseUrl, page);
  }
  throw new SluiceError({ slug: "unauthorized", title: "No token", detail: "Set token or tokenProvider" });
}

/**
 * Fetches the token from the page's own server, with its cookies. Markup alone decides about this request, so both ends
 * are fixed: only the page's own origin is asked, and only the gateway that served the script gets the answer.
 */
async function fetchToken(tokenUrl: string, baseUrl: string, page: PageContext): Promise<string> {
  const url = new URL(tokenUrl, page.pageUrl);
  if (url.origin !== new URL(page.pageUrl).origin) {
    throw refusal("token-url must be an address of this page's origin");
  }
  if (page.scriptBase === undefined || !isBelow(baseUrl, page.scriptBase)) {
    throw refusal("token-url needs the script of the gateway at base-url; use tokenProvider instead");
  }
  const response = await page.fetch(url, {
    method: "POST",
    headers: { accept: "application/json" },
    credentials: "same-origin",
    cache: "no-store",
    redirect: "error",
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!response.ok) {
    throw await SluiceError.fromResponse(response);
  }
  const body: unknown = await response.json().catch(() => undefined);
  const token = (body as { token?: unknown } | undefined)?.token;
  if (typeof token !== "string" || token === "") {
    throw refusal("the answer of token-url has no token");
  }
  return token;
}

function isBelow(baseUrl: string, scriptBase: string): boolean {
  return new URL(baseUrl.endsWith("/") ? baseUrl : `${baseUrl}/`, scriptBase).href === scriptBase;
}

function refusal(detail: string): SluiceError {
  return new SluiceError({ slug: "unauthorized", title: "No token", detail });
}
