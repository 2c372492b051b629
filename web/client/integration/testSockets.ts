import { WebSocket } from "ws";
import type { WebSocketConstructor } from "../src/node.js";

/**
 * The WebSockets of an SDK client. A test can send raw messages on them, disconnect them, and block new ones.
 */
export class TestSockets {
  readonly #sockets: WebSocket[] = [];
  readonly #types: string[] = [];
  readonly #onClosed: ((code: number) => void)[] = [];
  #blockedSockets = false;
  /** The `webSocket` option for the SDK. */
  readonly webSocket: WebSocketConstructor;

  /** `muteFirst`: the server receives nothing from the first WebSocket, not even pongs. */
  constructor(options: { muteFirst?: boolean } = {}) {
    const sockets = this;
    class TestSocket extends WebSocket {
      constructor(url: string, protocols: string[]) {
        if (sockets.#blockedSockets) {
          throw new Error("WebSockets are blocked");
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
          // sent messages are dropped; a fake pong keeps the client from closing the connection itself
          this.send = () =>
            void this.emit("message", Buffer.from('{"type":"pong","ref":"heartbeat"}'), false);
        }
      }
    }
    this.webSocket = TestSocket as unknown as WebSocketConstructor;
  }

  /** Number of opened WebSockets. */
  get opened(): number {
    return this.#sockets.length;
  }

  /** Number of received messages of this type. */
  received(type: string): number {
    return this.#types.filter((one) => one === type).length;
  }

  /** Resolves with the close code of the next closed WebSocket. */
  nextClose(): Promise<number> {
    return new Promise((resolve) => this.#onClosed.push(resolve));
  }

  /** Sends raw text on the newest WebSocket. */
  sendRaw(text: string): void {
    this.#sockets.at(-1)?.send(text);
  }

  /** Terminates the newest WebSocket without a close frame. */
  disconnect(): void {
    this.#sockets.at(-1)?.terminate();
  }

  /** Blocks or allows new WebSockets. */
  setBlocked(blocked: boolean): void {
    this.#blockedSockets = blocked;
  }
}
