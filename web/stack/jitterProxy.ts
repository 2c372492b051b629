import { connect, createServer, type Server, type Socket } from "node:net";
import { Duplex } from "node:stream";

/** Maximum number of delayed bytes of one direction of a connection. */
const MAX_QUEUED_BYTES = 4_000_000;

/** Limits of the pause between two stalls of a proxy, in milliseconds. */
const STALL_PAUSE_MS = { min: 5_000, max: 15_000 };
/** Limits of the duration of a stall, in milliseconds. */
const STALL_MS = { min: 1_000, max: 6_000 };

/** Returns the delay of the next chunk, in milliseconds. */
export type NextDelay = () => number;

/**
 * Returns delays of a bad network: each is random up to `jitterMs`, and now and then one is a stall of up to 6 s.
 */
export function jitter(jitterMs: number, now = Date.now, random = Math.random): NextDelay {
  const within = ({ min, max }: { min: number; max: number }) => min + random() * (max - min);
  let nextStall = now() + within(STALL_PAUSE_MS);
  return () => {
    if (now() < nextStall) {
      return random() * jitterMs;
    }
    const stall = within(STALL_MS);
    nextStall = now() + stall + within(STALL_PAUSE_MS);
    return stall;
  };
}

/** Returns the maximum delay that `SLUICE_JITTER_MS` selects for all connections to gateways; 0 without the variable. */
export function configuredJitter(): number {
  const value = process.env.SLUICE_JITTER_MS ?? "0";
  const jitterMs = Number(value);
  if (!(jitterMs >= 0)) {
    throw new Error(`SLUICE_JITTER_MS=${value}: give a number of milliseconds`);
  }
  return jitterMs;
}

/** Delays every chunk, and the end, of one direction of a connection. The order of the chunks stays. */
class DelayLine extends Duplex {
  readonly #nextDelay: NextDelay;
  readonly #queue: { due: number; chunk: Buffer | null }[] = [];
  #queuedBytes = 0;
  #lastDue = 0;
  #timer: NodeJS.Timeout | undefined;
  #accept: (() => void) | undefined;

  constructor(nextDelay: NextDelay) {
    super();
    this.#nextDelay = nextDelay;
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, accept: () => void): void {
    this.#enqueue(chunk);
    this.#accept = accept;
    this.#acceptIfRoom();
  }

  override _final(done: () => void): void {
    this.#enqueue(null);
    done();
  }

  override _read(): void {
    this.#acceptIfRoom();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    clearTimeout(this.#timer);
    done(error);
  }

  #enqueue(chunk: Buffer | null): void {
    this.#lastDue = Math.max(this.#lastDue, Date.now() + this.#nextDelay());
    this.#queue.push({ due: this.#lastDue, chunk });
    this.#queuedBytes += chunk?.length ?? 0;
    this.#schedule();
  }

  #schedule(): void {
    const first = this.#queue[0];
    if (first && this.#timer === undefined) {
      this.#timer = setTimeout(() => this.#deliver(), Math.max(0, first.due - Date.now()));
    }
  }

  #deliver(): void {
    this.#timer = undefined;
    for (let first = this.#queue[0]; first && first.due <= Date.now(); first = this.#queue[0]) {
      this.#queue.shift();
      this.#queuedBytes -= first.chunk?.length ?? 0;
      this.push(first.chunk);
    }
    this.#schedule();
    this.#acceptIfRoom();
  }

  /** Accepts the next chunk unless too many bytes wait for their time or for the receiver. */
  #acceptIfRoom(): void {
    if (this.#accept && this.#queuedBytes + this.readableLength < MAX_QUEUED_BYTES) {
      const accept = this.#accept;
      this.#accept = undefined;
      accept();
    }
  }
}

/** A TCP proxy to a gateway that delays all bytes as a bad network does. The gateway may stop and start behind it. */
export class JitterProxy {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(target: URL, nextDelay: NextDelay) {
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
      const gateway = connect({
        port: Number(target.port),
        host: target.hostname,
        allowHalfOpen: true,
        noDelay: true,
      });
      const lines = [new DelayLine(nextDelay), new DelayLine(nextDelay)] as const;
      client.pipe(lines[0]).pipe(gateway);
      gateway.pipe(lines[1]).pipe(client);
      for (const [one, other] of [
        [client, gateway],
        [gateway, client],
      ] as const) {
        this.#sockets.add(one);
        one.on("error", () => other.destroy()); // an error on one side, such as a refused connection, closes both
        one.on("close", () => {
          this.#sockets.delete(one);
          if (!one.readableEnded) {
            other.destroy(); // closed without an end; after an end, delayed bytes may still follow
          }
          if (client.destroyed && gateway.destroyed) {
            for (const line of lines) {
              line.destroy();
            }
          }
        });
      }
    });
  }

  /** Starts a proxy to the gateway at this address. Port 0 selects a free port. */
  static async start(url: string, nextDelay: NextDelay, port = 0): Promise<JitterProxy> {
    const proxy = new JitterProxy(new URL(url), nextDelay);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once("error", reject).listen(port, "127.0.0.1", resolve);
    });
    return proxy;
  }

  /** Address of the proxy. */
  get url(): string {
    const address = this.#server.address();
    return `http://127.0.0.1:${typeof address === "object" && address ? address.port : ""}`;
  }

  /** Stops the proxy, and breaks all of its connections. */
  close(): void {
    this.#server.close();
    for (const socket of this.#sockets) {
      socket.destroy();
    }
  }
}
