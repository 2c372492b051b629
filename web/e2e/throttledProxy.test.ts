import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { ThrottledProxy } from "./throttledProxy.js";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const end of cleanups.splice(0)) {
    end();
  }
});

/** Starts a server that echoes all bytes, in place of a gateway. */
async function startEchoServer(): Promise<string> {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
  cleanups.push(() => server.close());
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function connectTo(proxy: ThrottledProxy): Promise<Socket> {
  const socket = connect(Number(new URL(proxy.url).port), "127.0.0.1");
  cleanups.push(() => socket.destroy());
  await once(socket, "connect");
  return socket;
}

async function exchange(socket: Socket, text: string): Promise<string> {
  const answer = once(socket, "data");
  socket.write(text);
  return String((await answer)[0]);
}

it("a paused connection continues when more bytes may pass, and so does a new one", async () => {
  const proxy = await ThrottledProxy.start(await startEchoServer());
  cleanups.push(() => proxy.close());
  const socket = await connectTo(proxy);
  proxy.pauseAfter(1);
  expect(await exchange(socket, "one")).toBe("one"); // the limit is used up: the connection is paused now
  proxy.pauseAfter(100);
  expect(await exchange(socket, "two")).toBe("two");
  expect(await exchange(await connectTo(proxy), "three")).toBe("three");
});

it("no bytes pass on a paused connection until all may pass", async () => {
  const proxy = await ThrottledProxy.start(await startEchoServer());
  cleanups.push(() => proxy.close());
  const socket = await connectTo(proxy);
  const otherSocket = await connectTo(proxy);
  proxy.pauseAfter(1);
  expect(await exchange(socket, "one")).toBe("one");
  let received = "";
  socket.on("data", (bytes) => {
    received += String(bytes);
  });
  socket.write("two");
  expect(await exchange(otherSocket, "x")).toBe("x"); // each connection passes one chunk before it is paused
  proxy.pauseAfter(0);
  expect(received).toBe("");
  proxy.release();
  await expect.poll(() => received).toBe("two");
});
