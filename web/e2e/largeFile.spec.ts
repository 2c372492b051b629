import { expect } from "@playwright/test";
import { Stack } from "../stack/stack.js";
import { monitorHeaps } from "./heapMonitor.js";
import { measureMainThread } from "./mainThread.js";
import { expectStatus, idOf, savedDigest, signIn, startExport } from "./pageActions.js";
import { testWithStack } from "./stackTest.js";

// Runs only with `cargo xtask test --full`: a file of more than 1 GB.

const test = testWithStack(() =>
  Stack.start({ name: "large file stack", datasets: process.env.SLUICE_HEAVY_DATASETS ?? "" }),
);

/** Maximum heap of the page and of its worker, in bytes. */
const HEAP = 100_000_000;

/** Maximum CPU time of the page's main thread for the whole file, in seconds. */
const MAIN_THREAD_SECONDS = 60;

test("1 GB is saved with a small heap, and the page stays responsive", async ({ page, stack }) => {
  test.setTimeout(900_000);
  await signIn(page, "alice");
  await page.getByTestId("dataset-lineitem").click();
  const watched = await monitorHeaps(page);
  const mainThread = await measureMainThread(page);
  const downloading = page.waitForEvent("download", { timeout: 800_000 });
  const row = await startExport(page);
  const download = await downloading;
  const mainThreadSeconds = await mainThread();
  const heaps = await watched.stop();
  await expectStatus(row, "completed");
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-method", "private");

  const item = (await (await stack.rest("GET", `/v1/exports/${await idOf(row)}`)).json()) as {
    file: { size: number; sha256: string };
  };
  expect(item.file.size).toBeGreaterThan(1_000_000_000);
  expect(await savedDigest(download)).toBe(item.file.sha256);

  const summary = { bytes: item.file.size, heaps: Object.fromEntries(heaps), mainThreadSeconds };
  await test.info().attach("measured", { body: JSON.stringify(summary) });
  process.stdout.write(`  measured: ${JSON.stringify(summary)}\n`);
  // the bytes go through the worker, so its heap counts as well
  const names = [...heaps.keys()].sort();
  expect(names).toEqual([expect.stringMatching(/^\/assets\/worker-.*\.js$/), "page"]);
  for (const [name, { top, samples }] of heaps) {
    expect(samples, name).toBeGreaterThan(20);
    expect(top, name).toBeLessThan(HEAP);
  }
  expect(mainThreadSeconds).toBeLessThan(MAIN_THREAD_SECONDS);
});
