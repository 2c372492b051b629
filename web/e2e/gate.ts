import { connect, createServer, type Server, type Socket } from "node:net";

/** A line to a gateway on which a test decides how many bytes come. */
export class Gate {
  readonly #server: Server;
  readonly #held = new Set<Socket>();
  readonly #all = new Set<Socket>();
  #left = Number.POSITIVE_INFINITY;

  private constructor(target: URL) {
    this.#server = createServer((client) => {
      const gateway = connect(Number(target.port), target.hostname);
      this.#all.add(client).add(gateway);
      gateway.on("data", (bytes) => {
        this.#left -= bytes.length;
        client.write(bytes);
        this.#look(gateway);
      });
      client.on("data", (bytes) => gateway.write(bytes));
      for (const [one, other] of [
        [client, gateway],
        [gateway, client],
      ] as const) {
        one.on("error", () => other.destroy()); // a line that breaks breaks on both sides
        one.on("close", () => {
          this.#all.delete(one);
          this.#held.delete(one);
          other.destroy();
        });
      }
    });
  }

  /** A line to the gateway at this address. */
  static async to(url: string): Promise<Gate> {
    const gate = new Gate(new URL(url));
    await new Promise<void>((resolve) => {
      gate.#server.listen(0, "127.0.0.1", resolve);
    });
    return gate;
  }

  /** The gateway's address, by this line. */
  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address ? address.port : ""}`;
  }

  /** Lets about so many more bytes come, also on lines that were held, and then none. */
  holdAfter(bytes: number): void {
    this.#left = bytes;
    if (bytes > 0) {
      this.#resume(); // browsers use idle lines again, and would wait on a held one forever
    }
  }

  /** Lets everything come. */
  release(): void {
    this.holdAfter(Number.POSITIVE_INFINITY);
  }

  /** Ends the line for good. */
  close(): void {
    this.#server.close();
    this.cut();
  }

  /** Breaks all connections, as a gateway does that dies; what is held back would not notice. */
  cut(): void {
    for (const socket of this.#all) {
      socket.destroy();
    }
  }

  #resume(): void {
    for (const socket of this.#held) {
      socket.resume();
    }
    this.#held.clear();
  }

  #look(gateway: Socket): void {
    if (this.#left <= 0) {
      gateway.pause();
      this.#held.add(gateway);
    }
  }
}
