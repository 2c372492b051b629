import { expect } from "@playwright/test";
import { Stack } from "../stack/stack.js";
import { onStack } from "./onStack.js";
import { expectStatus, idOf, savedDigest, signIn, startExport } from "./page.js";

// On `cargo xtask test --full` alone: a file of more than 1 GB.

const test = onStack(() =>
  Stack.start({ name: "the heavy stack", datasets: process.env.SLUICE_HEAVY_DATASETS ?? "" }),
);

/** The most that the page's heap may be, bytes. */
const HEAP = 100_000_000;

/** The longest that one task may keep the page from answering, milliseconds. */
const LONG_TASK_MS = 200;

test("1 GB is saved with a small heap, and the page answers all the while", async ({ page, stack }) => {
  test.setTimeout(900_000);
  await page.addInitScript(() => {
    const tasks: number[] = [];
    new PerformanceObserver((list) => {
      tasks.push(...list.getEntries().map((entry) => entry.duration));
    }).observe({ type: "longtask" });
    Object.assign(window, { longTasks: tasks });
  });
  await signIn(page, "alice");
  await page.getByTestId("dataset-lineitem").click();
  await page.evaluate(() => {
    (window as unknown as { longTasks: number[] }).longTasks.length = 0; // what the start of the page took is no part
  });
  const cdp = await page.context().newCDPSession(page);
  await cdp.send("Performance.enable");
  const heaps: number[] = [];
  const downloading = page.waitForEvent("download", { timeout: 800_000 });
  const row = await startExport(page);
  const measure = setInterval(() => {
    void cdp.send("Performance.getMetrics").then(({ metrics }) => {
      heaps.push(metrics.find(({ name }) => name === "JSHeapUsedSize")?.value ?? Number.POSITIVE_INFINITY);
    });
  }, 250);
  const download = await downloading;
  clearInterval(measure);
  await expectStatus(row, "completed");
  await expect(row.getByTestId("saving")).toHaveAttribute("data-way", "private");

  const item = (await (await stack.rest("GET", `/v1/exports/${await idOf(row)}`)).json()) as {
    file: { size: number; sha256: string };
  };
  expect(item.file.size).toBeGreaterThan(1_000_000_000);
  expect(await savedDigest(download)).toBe(item.file.sha256);

  const longTasks = await page.evaluate(() => (window as unknown as { longTasks: number[] }).longTasks);
  const worker = await page.workers()[0]?.evaluate(() => {
    const { memory } = performance as unknown as { memory?: { usedJSHeapSize: number } };
    return memory?.usedJSHeapSize;
  });
  const summary = {
    bytes: item.file.size,
    topHeap: Math.max(...heaps),
    samples: heaps.length,
    longTasks,
    worker,
  };
  await test.info().attach("measured", { body: JSON.stringify(summary) });
  process.stdout.write(`  measured: ${JSON.stringify(summary)}\n`);
  expect(heaps.length).toBeGreaterThan(20);
  expect(Math.max(...heaps)).toBeLessThan(HEAP);
  expect(longTasks.filter((ms) => ms > LONG_TASK_MS)).toEqual([]);
  if (worker !== undefined) {
    expect(worker).toBeLessThan(HEAP);
  }
});
