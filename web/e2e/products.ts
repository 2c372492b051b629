import { readFile } from "node:fs/promises";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { build } from "vite";
import { createProduct, type Product } from "../examples/rendered/server.js";

/** The address of the gateway in the examples. */
const EXAMPLE_GATEWAY = "https://exports.example.com";

const example = (path: string) => fileURLToPath(new URL(`../examples/${path}`, import.meta.url));

/** The three products of `web/examples/` on one server, which has another origin than the gateway. */
export class Products {
  readonly #product: Product;
  readonly #pages = new Map<string, { type: string; content: string | Buffer }>();
  readonly #server: Server;
  /** The token of the signed-in user; `undefined` while nobody is signed in. */
  token: string | undefined;

  private constructor() {
    this.#product = { gateway: EXAMPLE_GATEWAY, tokenOf: () => this.token, pages: this.#pages };
    this.#server = createProduct(this.#product);
  }

  /** Starts the server on a free port of 127.0.0.1. */
  static async start(): Promise<Products> {
    const products = new Products();
    await new Promise<void>((resolve) => {
      products.#server.listen(0, "127.0.0.1", resolve);
    });
    return products;
  }

  /** Origin of the products. */
  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Makes all pages use this gateway. `integrity` replaces the hash of its script in the plain page. */
  async connect(gateway: string, integrity?: string): Promise<void> {
    this.#product.gateway = gateway;
    const config = await fetch(`${gateway}/config.json`);
    const { embed } = (await config.json()) as { embed: { integrity: string } };
    const plain = (await readFile(example("plain/index.html"), "utf8"))
      .replaceAll(EXAMPLE_GATEWAY, gateway)
      .replaceAll("sha384-INTEGRITY", integrity ?? embed.integrity);
    this.#pages.set("/plain", { type: "text/html; charset=utf-8", content: plain });
  }

  /** Builds the React product for the gateway of {@link connect}. */
  async buildReact(): Promise<void> {
    const built = await build({
      root: example("react"),
      base: "/react/",
      configFile: false,
      logLevel: "error",
      build: { write: false },
    });
    if (!("output" in built)) {
      throw new Error("the React product was not built");
    }
    for (const file of built.output) {
      const text = file.type === "chunk" ? file.code : String(file.source);
      const isPage = file.fileName === "index.html";
      this.#pages.set(isPage ? "/react" : `/react/${file.fileName}`, {
        type: isPage ? "text/html; charset=utf-8" : "text/javascript",
        content: text.replaceAll(EXAMPLE_GATEWAY, this.#product.gateway),
      });
    }
  }

  /** Stops the server and closes its connections. */
  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }
}
