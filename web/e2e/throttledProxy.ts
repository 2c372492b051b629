import { connect, createServer, type Server, type Socket } from "node:net";

/** A TCP proxy to a gateway that limits how many bytes reach the client. */
export class ThrottledProxy {
  readonly #server: Server;
  readonly #paused = new Set<Socket>();
  readonly #sockets = new Set<Socket>();
  #left = Number.POSITIVE_INFINITY;

  private constructor(target: URL) {
    this.#server = createServer((client) => {
      const gateway = connect(Number(target.port), target.hostname);
      this.#sockets.add(client).add(gateway);
      gateway.on("data", (bytes) => {
        this.#left -= bytes.length;
        client.write(bytes);
        this.#pauseIfSpent(gateway);
      });
      client.on("data", (bytes) => gateway.write(bytes));
      for (const [one, other] of [
        [client, gateway],
        [gateway, client],
      ] as const) {
        one.on("error", () => other.destroy()); // an error on one side closes both
        one.on("close", () => {
          this.#sockets.delete(one);
          this.#paused.delete(one);
          other.destroy();
        });
      }
    });
  }

  /** Starts a proxy to the gateway at this address. */
  static async start(url: string): Promise<ThrottledProxy> {
    const proxy = new ThrottledProxy(new URL(url));
    await new Promise<void>((resolve) => {
      proxy.#server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  /** Address of the proxy. */
  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address ? address.port : ""}`;
  }

  /** Lets about `bytes` more bytes pass, also on paused connections, and then pauses all. */
  pauseAfter(bytes: number): void {
    this.#left = bytes;
    if (bytes > 0) {
      this.#resume(); // browsers reuse idle connections, and would wait for a paused one forever
    }
  }

  /** Removes the limit of bytes and continues paused connections. */
  release(): void {
    this.pauseAfter(Number.POSITIVE_INFINITY);
  }

  /** Stops the proxy and breaks all its connections. */
  close(): void {
    this.#server.close();
    this.disconnect();
  }

  /** Breaks all connections, as a crashed gateway does. A paused connection would not detect the crash by itself. */
  disconnect(): void {
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }

  #resume(): void {
    for (const socket of this.#paused) {
      socket.resume();
    }
    this.#paused.clear();
  }

  #pauseIfSpent(gateway: Socket): void {
    if (this.#left <= 0) {
      gateway.pause();
      this.#paused.add(gateway);
    }
  }
}
