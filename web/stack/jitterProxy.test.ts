import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { JitterProxy, jitter, type NextDelay } from "./jitterProxy.js";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const end of cleanups.splice(0)) {
    end();
  }
});

/** Receives all bytes to the end. Unlike an iterator, it leaves the socket open for the other direction. */
async function receiveAll(socket: Socket): Promise<Buffer> {
  const chunks: Buffer[] = [];
  socket.on("data", (chunk) => chunks.push(chunk));
  await once(socket, "end");
  return Buffer.concat(chunks);
}

/** Starts a plain TCP server in place of a gateway. */
async function startServer(serve: (socket: Socket) => void, port = 0): Promise<Server> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    cleanups.push(() => socket.destroy());
    serve(socket.on("error", () => undefined));
  }).listen(port, "127.0.0.1");
  cleanups.push(() => server.close());
  await once(server, "listening");
  return server;
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port;
}

async function startProxy(server: Server, nextDelay: NextDelay): Promise<JitterProxy> {
  const proxy = await JitterProxy.start(`http://127.0.0.1:${portOf(server)}`, nextDelay);
  cleanups.push(() => proxy.close());
  return proxy;
}

async function connectTo(proxy: JitterProxy, allowHalfOpen = false): Promise<Socket> {
  const socket = connect({ port: Number(new URL(proxy.url).port), host: "127.0.0.1", allowHalfOpen });
  cleanups.push(() => socket.destroy());
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

it("all bytes pass in order under random delays, and an end of one direction leaves the other open", async () => {
  const sent = Buffer.from(Array.from({ length: 20_000_000 }, (_, index) => (index * 31) % 251));
  let received: Buffer | undefined;
  const server = await startServer(async (socket) => {
    received = await receiveAll(socket);
    socket.end(received.subarray(0, 5_000_000)); // the answer follows the end of the request
  });
  const proxy = await startProxy(server, () => Math.random() * 30);
  const socket = await connectTo(proxy, true);
  socket.end(sent);
  const answer = await receiveAll(socket);
  expect(received?.equals(sent)).toBe(true);
  expect(answer.equals(sent.subarray(0, 5_000_000))).toBe(true);
});

it("each chunk is late by its delay", async () => {
  const server = await startServer((socket) => socket.pipe(socket));
  const proxy = await startProxy(server, () => 100);
  const socket = await connectTo(proxy);
  const started = performance.now();
  socket.write("ping");
  expect(String((await once(socket, "data"))[0])).toBe("ping");
  expect(performance.now() - started).toBeGreaterThan(195); // both directions, minus the rounding of timers
});

it("a sender waits while the receiver does not read", async () => {
  const server = await startServer((socket) => socket.pause());
  const proxy = await startProxy(server, () => 0);
  const socket = await connectTo(proxy);
  const chunk = Buffer.alloc(1_000_000);
  let written = 0;
  const write = (): void => {
    while (written < 1_000 && socket.write(chunk)) {
      written += 1;
    }
  };
  socket.on("drain", write);
  write();
  await new Promise((resolve) => setTimeout(resolve, 500));
  expect(written).toBeLessThan(100);
});

it("a stopped gateway breaks the connections, and new ones work after its restart", async () => {
  const sockets: Socket[] = [];
  const server = await startServer((socket) => {
    sockets.push(socket);
    socket.pipe(socket);
  });
  const port = portOf(server);
  const proxy = await startProxy(server, () => Math.random() * 20);
  const first = await connectTo(proxy);
  first.write("one");
  await once(first, "data");
  server.close();
  sockets[0]?.resetAndDestroy();
  await once(first, "close");

  const refused = (await connectTo(proxy)).resume();
  await once(refused, "close");

  await startServer((socket) => socket.pipe(socket), port);
  const second = await connectTo(proxy);
  second.write("two");
  expect(String((await once(second, "data"))[0])).toBe("two");
});

it("jitter stays below its limit, and stalls now and then for at most 6 s", () => {
  let now = 0;
  const nextDelay = jitter(300, () => now);
  const stalls: number[] = [];
  for (; now < 600_000; now += 100) {
    const delay = nextDelay();
    expect(delay).toBeLessThanOrEqual(6_000);
    if (delay > 300) {
      stalls.push(now);
      now += delay;
    }
  }
  expect(stalls.length).toBeGreaterThan(20);
  expect(stalls.length).toBeLessThan(120);
});
