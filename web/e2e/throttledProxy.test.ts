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

/** What stands for a gateway: says back what it is told. */
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

it("a socket that was held goes on when more may come, and so does one that is new", async () => {
  const proxy = await ThrottledProxy.start(await startEchoServer());
  cleanups.push(() => proxy.close());
  const socket = await connectTo(proxy);
  proxy.pauseAfter(1);
  expect(await exchange(socket, "one")).toBe("one"); // the last that may come: the socket is held now
  proxy.pauseAfter(100);
  expect(await exchange(socket, "two")).toBe("two");
  expect(await exchange(await connectTo(proxy), "three")).toBe("three");
});

it("nothing comes on a socket that is held, until everything may", async () => {
  const proxy = await ThrottledProxy.start(await startEchoServer());
  cleanups.push(() => proxy.close());
  const socket = await connectTo(proxy);
  const other = await connectTo(proxy);
  proxy.pauseAfter(1);
  expect(await exchange(socket, "one")).toBe("one");
  let came = "";
  socket.on("data", (bytes) => {
    came += String(bytes);
  });
  socket.write("two");
  expect(await exchange(other, "x")).toBe("x"); // one chunk is let through on each socket: it is held only then
  proxy.pauseAfter(0);
  expect(came).toBe("");
  proxy.release();
  await expect.poll(() => came).toBe("two");
});
