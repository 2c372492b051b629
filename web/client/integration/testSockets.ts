import { WebSocket } from "ws";
import type { WebSocketConstructor } from "../src/node.js";

/** Sockets of the SDK that a test can reach: to sendRaw what the SDK never would, to cut them, and to open none. */
export class TestSockets {
  readonly #sockets: WebSocket[] = [];
  readonly #types: string[] = [];
  readonly #onClosed: ((code: number) => void)[] = [];
  #blockedSockets = false;
  /** What the SDK is given as its `WebSocket`. */
  readonly webSocket: WebSocketConstructor;

  /** `muteFirst`: from the first socket the server hears nothing, not even an answer to its pings. */
  constructor(options: { muteFirst?: boolean } = {}) {
    const sockets = this;
    class TestSocket extends WebSocket {
      constructor(url: string, protocols: string[]) {
        if (sockets.#blockedSockets) {
          throw new Error("no sockets here");
        }
        super(url, protocols, { autoPong: !(options.muteFirst && sockets.#sockets.length === 0) });
        sockets.#sockets.push(this);
        const muted = options.muteFirst && sockets.#sockets.length === 1;
        this.on("message", (data, binary) => {
          if (!binary) {
            sockets.#types.push((JSON.parse(String(data)) as { type: string }).type);
          }
        });
        this.once("close", (code: number) => {
          for (const received of sockets.#onClosed.splice(0)) {
            received(code);
          }
        });
        if (muted) {
          // what it says is lost on the way; its pings are answered by something in between, else it would leave by itself
          this.send = () =>
            void this.emit("message", Buffer.from('{"type":"pong","ref":"heartbeat"}'), false);
        }
      }
    }
    this.webSocket = TestSocket as unknown as WebSocketConstructor;
  }

  /** How many were opened. */
  get opened(): number {
    return this.#sockets.length;
  }

  /** How many messages of this type came. */
  received(type: string): number {
    return this.#types.filter((one) => one === type).length;
  }

  /** The code with which the next one closes. */
  nextClose(): Promise<number> {
    return new Promise((resolve) => this.#onClosed.push(resolve));
  }

  /** Says this on the newest, as if the SDK had. */
  sendRaw(text: string): void {
    this.#sockets.at(-1)?.send(text);
  }

  /** Cuts the newest without a word. */
  disconnect(): void {
    this.#sockets.at(-1)?.terminate();
  }

  /** From now on none can be opened, or they can again. */
  setBlocked(blocked: boolean): void {
    this.#blockedSockets = blocked;
  }
}
