/** A product whose server renders its pages: an orders page with an export button, and the address of its tokens. */
import { createServer, type IncomingMessage, type Server } from "node:http";

/** What the product's server knows. */
export interface Product {
  /** Address of the gateway, such as `https://exports.example.com`. */
  gateway: string;
  /** Returns a token for Sluice of the user of this session cookie; `undefined` without a session. */
  tokenOf(session: string | undefined): string | undefined;
  /** Further pages by path: the media type and the content. */
  pages?: ReadonlyMap<string, { type: string; content: string | Buffer }>;
}

/** Creates the product's HTTP server, which doesn't listen yet. */
export function createProduct(product: Product): Server {
  return createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://product");
    const other = product.pages?.get(pathname);
    if (request.method === "POST" && pathname === "/sluice-token") {
      const { status, body } = answerToken(product, request);
      const headers = { "content-type": "application/json", "cache-control": "no-store" };
      response.writeHead(status, headers).end(JSON.stringify(body));
    } else if (request.method === "GET" && pathname === "/orders") {
      const page = await renderOrders(product.gateway);
      response.writeHead(200, pageHeaders(product.gateway, "text/html; charset=utf-8")).end(page);
    } else if (request.method === "GET" && other) {
      response.writeHead(200, pageHeaders(product.gateway, other.type)).end(other.content);
    } else {
      response.writeHead(404).end();
    }
  });
}

/** Answers with the token of the session, but only to this product's own pages. */
function answerToken(product: Product, { headers }: IncomingMessage): { status: number; body: object } {
  // browsers set this header, so that another site's page can't ask with the user's cookie
  if (headers["sec-fetch-site"] !== "same-origin") {
    return { status: 403, body: { title: "Only pages of this product get tokens" } };
  }
  const token = product.tokenOf(/(?:^|; )session=([^;]+)/.exec(headers.cookie ?? "")?.[1]);
  return token === undefined
    ? { status: 401, body: { title: "Not signed in" } }
    : { status: 200, body: { token } };
}

/** Renders the page with the hash of the script that the gateway serves now. */
async function renderOrders(gateway: string): Promise<string> {
  const config = await fetch(new URL("/config.json", gateway));
  const { embed } = (await config.json()) as { embed: { path: string; integrity: string } };
  const src = new URL(embed.path, gateway).href;
  const filter = JSON.stringify({ origin: { eq: "SFO" } });
  return `<!doctype html>
<html lang="de">
  <head>
    <meta charset="utf-8">
    <title>Flüge</title>
    <script type="module" src="${attributeText(src)}" integrity="${attributeText(embed.integrity)}" crossorigin></script>
  </head>
  <body>
    <h1>Flüge ab San Francisco</h1>
    <sluice-export dataset="flights" filter="${attributeText(filter)}" format="csv" dialog
      base-url="${attributeText(gateway)}" token-url="/sluice-token"></sluice-export>
  </body>
</html>`;
}

/** The policy allows the script and the API of the gateway, and no inline script or style. */
function pageHeaders(gateway: string, type: string): Record<string, string> {
  const origin = new URL(gateway).origin;
  const socket = origin.replace(/^http/, "ws");
  const policy = [
    "default-src 'none'",
    `script-src 'self' ${origin}`,
    `connect-src 'self' ${origin} ${socket}`,
    "require-trusted-types-for 'script'",
    "base-uri 'none'",
    "form-action 'none'",
  ];
  return { "content-type": type, "content-security-policy": policy.join("; ") };
}

/** Escapes a text for an attribute in double quotes. */
function attributeText(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
}
