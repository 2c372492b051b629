import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterEach, expect, it } from "vitest";
import { Gate } from "./gate.js";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) {
    end();
  }
});

/** What stands for a gateway: says back what it is told. */
async function echoes(): Promise<string> {
  const server = createServer((socket) => socket.pipe(socket)).listen(0, "127.0.0.1");
  ends.push(() => server.close());
  await once(server, "listening");
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function lineTo(gate: Gate): Promise<Socket> {
  const line = connect(Number(new URL(gate.url).port), "127.0.0.1");
  ends.push(() => line.destroy());
  await once(line, "connect");
  return line;
}

async function ask(line: Socket, text: string): Promise<string> {
  const answer = once(line, "data");
  line.write(text);
  return String((await answer)[0]);
}

it("a line that was held goes on when more may come, and so does one that is new", async () => {
  const gate = await Gate.to(await echoes());
  ends.push(() => gate.close());
  const line = await lineTo(gate);
  gate.holdAfter(1);
  expect(await ask(line, "one")).toBe("one"); // the last that may come: the line is held now
  gate.holdAfter(100);
  expect(await ask(line, "two")).toBe("two");
  expect(await ask(await lineTo(gate), "three")).toBe("three");
});

it("nothing comes on a line that is held, until everything may", async () => {
  const gate = await Gate.to(await echoes());
  ends.push(() => gate.close());
  const line = await lineTo(gate);
  const other = await lineTo(gate);
  gate.holdAfter(1);
  expect(await ask(line, "one")).toBe("one");
  let came = "";
  line.on("data", (bytes) => {
    came += String(bytes);
  });
  line.write("two");
  expect(await ask(other, "x")).toBe("x"); // one chunk is let through on each line: it is held only then
  gate.holdAfter(0);
  expect(came).toBe("");
  gate.release();
  await expect.poll(() => came).toBe("two");
});
