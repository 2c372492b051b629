import { connect, createServer, type Server, type Socket } from "node:net";

/** A line to a gateway on which a test decides how many bytes come. */
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
        one.on("error", () => other.destroy()); // a line that breaks breaks on both sides
        one.on("close", () => {
          this.#sockets.delete(one);
          this.#paused.delete(one);
          other.destroy();
        });
      }
    });
  }

  /** A line to the gateway at this address. */
  static async start(url: string): Promise<ThrottledProxy> {
    const proxy = new ThrottledProxy(new URL(url));
    await new Promise<void>((resolve) => {
      proxy.#server.listen(0, "127.0.0.1", resolve);
    });
    return proxy;
  }

  /** The gateway's address, by this line. */
  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address ? address.port : ""}`;
  }

  /** Lets about so many more bytes come, also on lines that were held, and then none. */
  pauseAfter(bytes: number): void {
    this.#left = bytes;
    if (bytes > 0) {
      this.#resume(); // browsers use idle lines again, and would wait on a held one forever
    }
  }

  /** Lets everything come. */
  release(): void {
    this.pauseAfter(Number.POSITIVE_INFINITY);
  }

  /** Ends the line for good. */
  close(): void {
    this.#server.close();
    this.disconnect();
  }

  /** Breaks all connections, as a gateway does that dies; what is held back would not notice. */
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
