/** Downloads, away from the page: sockets, hashing and writing all happen here, so that the page stays quick. */
import { SluiceClient, SluiceError } from "@sluice/client";
import { isHopeless } from "../ends.js";
import type { FromWorker, Order, ToWorker } from "../messages.js";
import { fromPlain, toPlain } from "../plainError.js";
import { privateFile } from "../privateFiles.js";
import { ChosenTarget, MemoryTarget, PrivateTarget, StreamTarget, type Target } from "./sinks.js";
import { Teller } from "./teller.js";

/** Downloads at once, if the session allows as many; later ones wait for a place. */
const AT_ONCE = 4;

/** How long a session without a download is kept, in milliseconds. */
const IDLE_MS = 60_000;

const scope = self as unknown as DedicatedWorkerGlobalScope;
const tell = (message: FromWorker) => scope.postMessage(message);

const asks = new Map<number, (answer: Extract<ToWorker, { type: "token" }>) => void>();
let lastAsk = 0;

/** Only the page knows tokens; they are asked for, and kept nowhere here. */
async function getToken({ refresh }: { refresh: boolean }): Promise<string> {
  lastAsk += 1;
  const ask = lastAsk;
  const answer = await new Promise<Extract<ToWorker, { type: "token" }>>((resolve) => {
    asks.set(ask, resolve);
    tell({ type: "ask-token", ask, refresh });
  });
  asks.delete(ask);
  if (answer.token === undefined) {
    throw answer.error
      ? fromPlain(answer.error)
      : new SluiceError({ slug: "unauthorized", title: "Signed out" });
  }
  return answer.token;
}

const client = new SluiceClient({ baseUrl: scope.location.origin, getToken });
const running = new Map<string, AbortController>();
const waiting: (() => void)[] = [];
let places = 0;
let idle: ReturnType<typeof setTimeout> | undefined;

async function takePlace(): Promise<void> {
  while (places >= AT_ONCE) {
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
  places += 1;
  clearTimeout(idle);
  if (client.state.name === "idle" || client.state.name === "closed") {
    client.connect().catch(() => undefined); // downloads go over HTTP then, and say what they find
  }
}

function leavePlace(): void {
  places -= 1;
  waiting.shift()?.();
  if (places === 0) {
    clearTimeout(idle);
    idle = setTimeout(() => client.close(), IDLE_MS);
  }
}

async function targetOf(order: Order): Promise<Target> {
  switch (order.way) {
    case "file":
      if (!order.handle) {
        throw new SluiceError({ slug: "protocol", title: "No file was chosen" });
      }
      return ChosenTarget.open(order.handle, order.resume);
    case "private":
      return PrivateTarget.open(await privateFile(order.exportId, true), order.resume);
    case "stream":
      if (!order.port) {
        throw new SluiceError({ slug: "protocol", title: "No download was begun" });
      }
      return new StreamTarget(order.port, order.answers ?? false);
    case "memory":
      return new MemoryTarget();
  }
}

async function save(order: Order): Promise<void> {
  const { exportId } = order;
  if (running.has(exportId)) {
    return;
  }
  const stop = new AbortController();
  running.set(exportId, stop);
  const teller = new Teller((received) => tell({ type: "received", exportId, received }));
  let target: Target | undefined;
  await takePlace();
  try {
    target = await targetOf(order);
    teller.position(target.offset);
    const result = await client.download(exportId, {
      sink: target,
      offset: target.offset,
      hasher: target.hasher,
      attempt: order.attempt,
      signal: stop.signal,
      maxFailures: Number.POSITIVE_INFINITY, // as long as the page is open; it shows that it waits
      onAttempt: (attempt) => tell({ type: "attempt", exportId, attempt }),
      onState: (state) => tell({ type: "state", exportId, state }),
      onProgress: (received) => teller.position(received),
    });
    // the stream's seal may be here before the export's own end: the name comes with the latter
    const { file } = await client.exports.ended(exportId, {
      signal: stop.signal,
      maxFailures: Number.POSITIVE_INFINITY,
    });
    if (file?.sha256 !== result.sha256) {
      throw new SluiceError({
        slug: "digest-mismatch",
        title: "The export has another digest than its stream",
      });
    }
    const blob = await target.finish();
    tell({ type: "saved", exportId, file, result, ...(blob ? { blob } : undefined) });
  } catch (cause) {
    const error = toPlain(cause);
    await target?.release(!isHopeless(error.slug));
    tell({ type: "failed", exportId, error });
  } finally {
    teller.end();
    running.delete(exportId);
    leavePlace();
  }
}

scope.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  switch (data.type) {
    case "save":
      void save(data.order);
      break;
    case "stop":
      running.get(data.exportId)?.abort();
      break;
    case "retry":
      client.retryNow();
      break;
    case "token":
      asks.get(data.ask)?.(data);
      break;
  }
};

tell({ type: "ready" });
