import { expect, type Page } from "@playwright/test";
import { Stack } from "../stack/stack.js";
import {
  addFilter,
  balanceOf,
  expectReceived,
  expectStatus,
  idOf,
  rowOf,
  signIn,
  startExport,
} from "./pageActions.js";
import { testWithStack } from "./stackTest.js";
import { ThrottledProxy } from "./throttledProxy.js";

// What takes its time: exports that wait, that run, and that expire. One slot for large exports, and an exporter that stops
// when a test wants it to.

const CATALOG = `
[[dataset]]
name = "brief"
title = "Brief"
files = "brief.csv"
retention = "10s"

[[dataset]]
name = "many"
title = "Many"
files = "many-*.parquet"
`;

const test = testWithStack(() =>
  Stack.start({
    name: "the stack of those who wait",
    env: {
      SLUICE_EXPORTER__SLOTS: "2",
      SLUICE_EXPORTER__BULK_SLOTS: "1",
      // an exporter that stands still for a while keeps its work, and what it offers stays on offer
      SLUICE_EXPORTER__LEASE_MS: "240000",
      SLUICE_EXPORTER__ACK_WAIT_MS: "300000",
      SLUICE_EXPORTER__CATALOG_MS: "120000",
      // only when a test wants it
      SLUICE_NOTIFIER__SWEEP_CRON: "0 0 1 1 *",
    },
    catalog: CATALOG,
    files: { "brief.csv": "id,name\n1,a\n2,b\n" },
    // so much that nobody comes too late to stop it
    flights: ["many-1.parquet", "many-2.parquet", "many-3.parquet", "many-4.parquet"],
  }),
);
test.beforeAll(({ stack }) => stack.grant("alice", "acme", 40));
test.afterEach(({ stack }) => stack.resume("exporter"));

/** Lets a person choose a file without the browser's dialog, which no test can press. */
async function withPicker(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const picker = async () =>
      (await navigator.storage.getDirectory()).getFileHandle("chosen.csv", { create: true });
    Object.defineProperty(window, "showSaveFilePicker", { value: picker });
  });
}

test("who waits sees the place in the queue, and that it moves", async ({ page, stack }) => {
  await signIn(page, "alice");
  await page.getByTestId("dataset-many").click();
  const first = await startExport(page);
  await expectStatus(first, "running");
  await stack.pause("exporter");
  await addFilter(page, "origin", "ne", "SEA");
  const rows = [first];
  for (const airport of ["SEA", "JFK", "BUR"]) {
    await page.getByTestId("filter-value").fill(airport);
    rows.push(await startExport(page));
  }
  const place = (index: number) => (rows[index] ?? first).getByTestId("export-status-line");
  await expect(place(1)).toContainText("Next in the queue");
  await expect(place(2)).toContainText("1 ahead of it in the queue");
  await expect(place(3)).toContainText("2 ahead of it in the queue");
  const asked: string[] = [];
  page.on("request", (request) => request.url().includes("/v1/exports") && asked.push(request.url()));
  await stack.rest("DELETE", `/v1/exports/${await idOf(rows[2] ?? first)}`);
  await expect(place(3)).toContainText("1 ahead of it in the queue");
  expect(
    asked.filter((url) => !url.endsWith("/estimate")),
    "it was pushed",
  ).toEqual([]);
  await expectStatus(rows[2] ?? first, "canceled");
  for (const row of [3, 1, 0].map((index) => rows[index] ?? first)) {
    await row.getByTestId("cancel-button").click();
    await expectStatus(row, "canceled");
  }
});

test("a running export shows its progress and can be canceled, and its credit comes back", async ({
  page,
  stack,
}) => {
  await signIn(page, "alice");
  const before = await balanceOf(page);
  await page.getByTestId("dataset-many").click();
  const row = await startExport(page);
  await expectReceived(row, 1);
  await stack.pause("exporter");
  await expect(row.getByTestId("export-progress")).toBeVisible();
  await expect.poll(() => balanceOf(page)).toBe(before - 1);
  await row.getByTestId("cancel-button").click();
  await expectStatus(row, "canceled");
  await expect(row.getByTestId("cancel-button")).toHaveCount(0);
  await expect.poll(() => balanceOf(page)).toBe(before);
});

test("a second click on the same thing makes no second export, costs nothing, and says so", async ({
  page,
  stack,
}) => {
  await stack.pause("exporter");
  await signIn(page, "alice");
  const before = await balanceOf(page);
  await page.getByTestId("dataset-flights").click();
  const row = await startExport(page);
  const rows = await page.getByTestId("export-row").count();
  await expect(page.getByTestId("export-button")).toBeEnabled();
  await expect(page.getByTestId("joined")).toHaveCount(0);
  await page.getByTestId("export-button").click();
  await expect(page.getByTestId("joined")).toContainText("Asking again has cost nothing.");
  expect(await page.getByTestId("export-row").count()).toBe(rows);
  await expect.poll(() => balanceOf(page)).toBe(before - 1);
  await row.getByTestId("cancel-button").click();
  await expectStatus(row, "canceled");
});

test("a chosen file of a canceled export is gone, however much of it was there", async ({ page, stack }) => {
  await withPicker(page);
  await signIn(page, "alice");
  await page.getByTestId("dataset-many").click();
  await page.getByTestId("save-location").selectOption("file");
  const row = await startExport(page);
  const id = await idOf(row);
  const made = async () => {
    const answer = await stack.rest("GET", `/v1/exports/${id}`);
    return ((await answer.json()) as { progress: { bytes: number } }).progress.bytes;
  };
  await expect.poll(made, { timeout: 180_000, intervals: [100] }).toBeGreaterThan(80_000_000);
  await stack.pause("exporter"); // else it may be whole before so much of it has come
  await expectReceived(row, 36_000_000); // by then a part of it was committed
  await row.getByTestId("cancel-button").click();
  await expectStatus(row, "canceled");
  const size = () =>
    page.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      const handle = await root.getFileHandle("chosen.csv").catch(() => undefined);
      return handle && (await handle.getFile()).size;
    });
  await expect.poll(size).toBeUndefined();
});

test("a download of a finished export can be stopped, and leaves nothing", async ({ browser, stack }) => {
  const gatewayProxy = await ThrottledProxy.start(stack.url);
  const context = await browser.newContext({ baseURL: gatewayProxy.url });
  const page = await context.newPage();
  const answer = await stack.rest("POST", "/v1/exports", { dataset: "flights" });
  const { id } = (await answer.json()) as { id: string };
  await signIn(page, "alice");
  const row = rowOf(page, id);
  await expectStatus(row, "completed");
  gatewayProxy.pauseAfter(5_000_000); // else it may be whole by then
  await row.getByTestId("save-button").click();
  await expectReceived(row, 1);
  await row.getByTestId("stop-button").click();
  await expect(row.getByTestId("save-status")).toHaveCount(0);
  await expect(row.getByTestId("save-button")).toBeEnabled();
  await expect(row.getByTestId("problem")).toHaveCount(0);
  gatewayProxy.release();
  const left = () =>
    page.evaluate(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("saves");
      const names: string[] = [];
      for await (const name of folder.keys()) {
        names.push(name);
      }
      return names;
    });
  await expect.poll(left).toEqual([]);
  await context.close();
  gatewayProxy.close();
});

test("a file whose time is over says so, also to who saves it before the news have come", async ({
  page,
  browser,
  stack,
}) => {
  await signIn(page, "alice");
  await page.getByTestId("dataset-brief").click();
  const row = await startExport(page);
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-phase", "saved");
  const id = await idOf(row);

  const late = await browser.newContext({ baseURL: stack.url });
  const other = await late.newPage();
  await other.routeWebSocket("**/v1/ws**", (socket) => {
    const server = socket.connectToServer();
    server.onMessage((message) => {
      if (!String(message).includes('"export.expired"')) {
        socket.send(message);
      }
    });
  });
  await signIn(other, "alice");
  await expectStatus(rowOf(other, id), "completed");

  const status = async () => {
    stack.sluice(["schedule", "run", "sweep", "--wait"]);
    return ((await (await stack.rest("GET", `/v1/exports/${id}`)).json()) as { status: string }).status;
  };
  await expect.poll(status).toBe("expired");
  await expectStatus(row, "expired");
  await expect(row).toContainText("The file was deleted after its time");
  await expect(row.getByTestId("again-button")).toBeVisible();

  await rowOf(other, id).getByTestId("save-button").click();
  const problem = rowOf(other, id).getByTestId("problem");
  await expect(problem).toHaveAttribute("data-slug", "expired");
  await expect(problem).toContainText("Export it again to get a fresh one.");
  await late.close();
});
