/** Downloads files in a worker: sockets, hashing and writing run here, so that the page stays responsive. */
import { SluiceClient, SluiceError } from "@sluice/client";
import { type FileSink, MemorySink, ProgressThrottle } from "@sluice/client/browser";
import { isUnrecoverable } from "../finalErrors.js";
import { privateFile } from "../privateFiles.js";
import { deserializeError, serializeError } from "../serializedError.js";
import type { FromWorker, SaveTask, ToWorker } from "../workerMessages.js";
import { ChosenFileSink, PrivateFileSink, ServiceWorkerSink } from "./sinks.js";

/** Maximum number of parallel downloads; later ones wait for a free slot. */
const MAX_ACTIVE = 4;

/** Idle time after which the worker's session is closed, in milliseconds. */
const IDLE_MS = 60_000;

const scope = self as unknown as DedicatedWorkerGlobalScope;
const post = (message: FromWorker) => scope.postMessage(message);

const tokenRequests = new Map<number, (answer: Extract<ToWorker, { type: "token" }>) => void>();
let lastRequestId = 0;

/** Requests the token from the page. The worker stores no token. */
async function getToken({ refresh }: { refresh: boolean }): Promise<string> {
  lastRequestId += 1;
  const requestId = lastRequestId;
  const answer = await new Promise<Extract<ToWorker, { type: "token" }>>((resolve) => {
    tokenRequests.set(requestId, resolve);
    post({ type: "token-request", requestId, refresh });
  });
  tokenRequests.delete(requestId);
  if (answer.token === undefined) {
    throw answer.error
      ? deserializeError(answer.error)
      : new SluiceError({ slug: "unauthorized", title: "Signed out" });
  }
  return answer.token;
}

const client = new SluiceClient({ baseUrl: scope.location.origin, getToken });
const running = new Map<string, AbortController>();
const waiting: (() => void)[] = [];
let active = 0;
let idle: ReturnType<typeof setTimeout> | undefined;

async function acquireSlot(): Promise<void> {
  while (active >= MAX_ACTIVE) {
    await new Promise<void>((resolve) => waiting.push(resolve));
  }
  active += 1;
  clearTimeout(idle);
  if (client.state.name === "idle" || client.state.name === "closed") {
    client.connect().catch(() => undefined); // downloads then use HTTP and report its errors
  }
}

function releaseSlot(): void {
  active -= 1;
  waiting.shift()?.();
  if (active === 0) {
    clearTimeout(idle);
    idle = setTimeout(() => client.close(), IDLE_MS);
  }
}

async function openSink(task: SaveTask): Promise<FileSink> {
  switch (task.method) {
    case "file":
      if (!task.handle) {
        throw new SluiceError({ slug: "protocol", title: "No file was chosen" });
      }
      return ChosenFileSink.open(task.handle, task.resume);
    case "private":
      return PrivateFileSink.open(await privateFile(task.exportId, true), task.resume);
    case "stream":
      if (!task.port) {
        throw new SluiceError({ slug: "protocol", title: "No browser download was started" });
      }
      return new ServiceWorkerSink(task.port, task.answers ?? false);
    case "memory":
      return new MemorySink();
  }
}

async function save(task: SaveTask): Promise<void> {
  const { exportId } = task;
  if (running.has(exportId)) {
    return;
  }
  const stop = new AbortController();
  running.set(exportId, stop);
  const progress = new ProgressThrottle((received) => post({ type: "received", exportId, received }));
  let sink: FileSink | undefined;
  await acquireSlot();
  try {
    sink = await openSink(task);
    progress.update(sink.offset);
    const result = await client.download(exportId, {
      sink: sink,
      offset: sink.offset,
      hasher: sink.hasher,
      attempt: task.attempt,
      signal: stop.signal,
      maxFailures: Number.POSITIVE_INFINITY, // retries as long as the page is open; the page shows the state
      onAttempt: (attempt) => post({ type: "attempt", exportId, attempt }),
      onStateChange: (state) => post({ type: "state", exportId, state }),
      onProgress: (received) => progress.update(received),
    });
    // the seal may arrive before the export has ended, which sets the file name
    const { file } = await client.exports.waitForEnd(exportId, {
      signal: stop.signal,
      maxFailures: Number.POSITIVE_INFINITY,
    });
    if (file?.sha256 !== result.sha256) {
      throw new SluiceError({
        slug: "digest-mismatch",
        title: "The export has another digest than its stream",
      });
    }
    const blob = await sink.finish();
    post({ type: "saved", exportId, file, result, ...(blob ? { blob } : undefined) });
  } catch (cause) {
    const error = serializeError(cause);
    await sink?.release(!isUnrecoverable(error.slug));
    post({ type: "failed", exportId, error });
  } finally {
    progress.end();
    running.delete(exportId);
    releaseSlot();
  }
}

scope.onmessage = ({ data }: MessageEvent<ToWorker>) => {
  switch (data.type) {
    case "save":
      void save(data.task);
      break;
    case "stop":
      running.get(data.exportId)?.abort();
      break;
    case "retry":
      client.retryNow();
      break;
    case "token":
      tokenRequests.get(data.requestId)?.(data);
      break;
  }
};

post({ type: "ready" });
