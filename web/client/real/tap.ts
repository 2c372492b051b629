import { WebSocket } from "ws";
import type { WebSocketConstructor } from "../src/node.js";

/** Sockets of the SDK that a test can reach: to say what the SDK never would, to cut them, and to open none. */
export class Tap {
  readonly #sockets: WebSocket[] = [];
  readonly #types: string[] = [];
  readonly #onClosed: ((code: number) => void)[] = [];
  #blocked = false;
  /** What the SDK is given as its `WebSocket`. */
  readonly webSocket: WebSocketConstructor;

  /** `deafOnce`: from the first socket the server hears nothing, not even an answer to its pings. */
  constructor(options: { deafOnce?: boolean } = {}) {
    const tap = this;
    class Tapped extends WebSocket {
      constructor(url: string, protocols: string[]) {
        if (tap.#blocked) {
          throw new Error("no sockets here");
        }
        super(url, protocols, { autoPong: !(options.deafOnce && tap.#sockets.length === 0) });
        tap.#sockets.push(this);
        const deaf = options.deafOnce && tap.#sockets.length === 1;
        this.on("message", (data, binary) => {
          if (!binary) {
            tap.#types.push((JSON.parse(String(data)) as { type: string }).type);
          }
        });
        this.once("close", (code: number) => {
          for (const told of tap.#onClosed.splice(0)) {
            told(code);
          }
        });
        if (deaf) {
          // what it says is lost on the way; its pings are answered by something in between, else it would leave by itself
          this.send = () => void this.emit("message", Buffer.from('{"type":"pong","ref":"beat"}'), false);
        }
      }
    }
    this.webSocket = Tapped as unknown as WebSocketConstructor;
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
  closed(): Promise<number> {
    return new Promise((resolve) => this.#onClosed.push(resolve));
  }

  /** Says this on the newest, as if the SDK had. */
  say(text: string): void {
    this.#sockets.at(-1)?.send(text);
  }

  /** Cuts the newest without a word. */
  cut(): void {
    this.#sockets.at(-1)?.terminate();
  }

  /** From now on none can be opened, or they can again. */
  block(blocked: boolean): void {
    this.#blocked = blocked;
  }
}
