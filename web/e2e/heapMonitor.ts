import type { CDPSession, Page } from "@playwright/test";

/** Sampling interval, in milliseconds. */
const SAMPLE_INTERVAL_MS = 50;

/** Heap usage of one JavaScript context in bytes: objects, and array buffers. */
type Heap = { usedSize: number; backingStorageSize?: number };

/** Peak heap usage in bytes and number of samples, of the page and of each worker by its address. */
export type HeapPeaks = Map<string, { top: number; samples: number }>;

/**
 * Samples the heaps of a page and of its workers until it is stopped. Workers are reached through the page's CDP
 * session, because Playwright has none for workers.
 */
export async function monitorHeaps(page: Page): Promise<{ stop: () => Promise<HeapPeaks> }> {
  const cdp = await page.context().newCDPSession(page);
  const heaps: HeapPeaks = new Map();
  const workers = new Map<string, string>();
  const record = (name: string, { usedSize, backingStorageSize }: Heap) => {
    const { top = 0, samples = 0 } = heaps.get(name) ?? {};
    const size = usedSize + (backingStorageSize ?? 0);
    heaps.set(name, { top: Math.max(top, size), samples: samples + 1 });
  };
  cdp.on("Target.attachedToTarget", ({ sessionId, targetInfo }) => {
    if (targetInfo.type === "worker") {
      workers.set(sessionId, new URL(targetInfo.url).pathname);
    }
  });
  cdp.on("Target.detachedFromTarget", ({ sessionId }) => workers.delete(sessionId));
  cdp.on("Target.receivedMessageFromTarget", ({ sessionId, message }) => {
    const { result } = JSON.parse(message) as { result?: Heap };
    const name = workers.get(sessionId);
    if (name && typeof result?.usedSize === "number") {
      record(name, result);
    }
  });
  await cdp.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  let failed: unknown;
  const sample = async () => {
    record("page", (await cdp.send("Runtime.getHeapUsage")) as Heap);
    const workerSamples = [...workers.keys()].map(async (sessionId) => {
      try {
        await requestWorkerHeap(cdp, sessionId);
      } catch (cause) {
        if (workers.has(sessionId)) {
          throw cause; // otherwise the worker has ended since
        }
      }
    });
    await Promise.all(workerSamples);
  };
  let stopped = false;
  const watching = (async () => {
    while (!stopped) {
      await sample(); // one sample at a time, so that a busy page gets no additional load
      await new Promise((resolve) => setTimeout(resolve, SAMPLE_INTERVAL_MS));
    }
  })().catch((cause: unknown) => {
    failed ??= cause;
  });
  const stop = async () => {
    stopped = true;
    await watching;
    await cdp.detach();
    if (failed) {
      throw failed;
    }
    return heaps;
  };
  return { stop };
}

async function requestWorkerHeap(cdp: CDPSession, sessionId: string): Promise<void> {
  const message = JSON.stringify({ id: 1, method: "Runtime.getHeapUsage" });
  await cdp.send("Target.sendMessageToTarget", { sessionId, message });
}
