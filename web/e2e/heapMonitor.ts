import type { CDPSession, Page } from "@playwright/test";

/** How often each heap is looked at, milliseconds. */
const EVERY_MS = 50;

/** What one JavaScript context of a page took at some moment, bytes: its objects, and what its buffers hold. */
type Heap = { usedSize: number; backingStorageSize?: number };

/** The tops and the numbers of samples, of the page and of each of its workers by its address. */
export type HeapPeaks = Map<string, { top: number; samples: number }>;

/**
 * Looks at the heaps of a page and of its workers again and again, from now until it is stopped. A worker is reached
 * through the page's own session, as Playwright gives none for workers.
 */
export async function monitorHeaps(page: Page): Promise<{ stop: () => Promise<HeapPeaks> }> {
  const cdp = await page.context().newCDPSession(page);
  const heaps: HeapPeaks = new Map();
  const workers = new Map<string, string>();
  const note = (name: string, { usedSize, backingStorageSize }: Heap) => {
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
      note(name, result);
    }
  });
  await cdp.send("Target.setAutoAttach", { autoAttach: true, waitForDebuggerOnStart: false, flatten: false });
  let failed: unknown;
  const look = async () => {
    note("page", (await cdp.send("Runtime.getHeapUsage")) as Heap);
    const asked = [...workers.keys()].map(async (sessionId) => {
      try {
        await askWorker(cdp, sessionId);
      } catch (cause) {
        if (workers.has(sessionId)) {
          throw cause; // else it has ended meanwhile
        }
      }
    });
    await Promise.all(asked);
  };
  let stopped = false;
  const watching = (async () => {
    while (!stopped) {
      await look(); // one at a time: a page that is busy is not asked the more for it
      await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
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

async function askWorker(cdp: CDPSession, sessionId: string): Promise<void> {
  const message = JSON.stringify({ id: 1, method: "Runtime.getHeapUsage" });
  await cdp.send("Target.sendMessageToTarget", { sessionId, message });
}
