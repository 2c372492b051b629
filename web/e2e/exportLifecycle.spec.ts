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

// Exports that wait, run and expire, on a stack with one slot for large exports and an exporter that a test can pause.

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
    name: "lifecycle stack",
    env: {
      // one slot for bulk exports
      SLUICE_EXPORTER__SLOTS: "2",
      // a paused exporter keeps its leases, and its datasets stay offered
      SLUICE_EXPORTER__LEASE_DURATION: "240s",
      SLUICE_EXPORTER__ADVERTISE_INTERVAL: "120s",
      // no scheduled run: a test starts the sweep
      SLUICE_NOTIFIER__SWEEP_SCHEDULE: "0 0 1 1 *",
    },
    catalog: CATALOG,
    files: { "brief.csv": "id,name\n1,a\n2,b\n" },
    // large enough that a test can always stop the export before it completes
    flights: ["many-1.parquet", "many-2.parquet", "many-3.parquet", "many-4.parquet"],
  }),
);
test.beforeAll(({ stack }) => stack.grant("alice", "acme", 40));
test.afterEach(({ stack }) => stack.resume("exporter"));

/** Replaces the browser's file dialog, which a test can't operate. */
async function withPicker(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const picker = async () =>
      (await navigator.storage.getDirectory()).getFileHandle("chosen.csv", { create: true });
    Object.defineProperty(window, "showSaveFilePicker", { value: picker });
  });
}

test("a waiting export shows its queue position, and the position moves", async ({ page, stack }) => {
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
  const statusLine = (index: number) => (rows[index] ?? first).getByTestId("export-status-line");
  await expect(statusLine(1)).toContainText("Next in the queue");
  await expect(statusLine(2)).toContainText("1 export ahead in the queue");
  await expect(statusLine(3)).toContainText("2 exports ahead in the queue");
  const requests: string[] = [];
  page.on("request", (request) => request.url().includes("/v1/exports") && requests.push(request.url()));
  await stack.rest("DELETE", `/v1/exports/${await idOf(rows[2] ?? first)}`);
  await expect(statusLine(3)).toContainText("1 export ahead in the queue");
  expect(
    requests.filter((url) => !url.endsWith("/estimate")),
    "it was pushed",
  ).toEqual([]);
  await expectStatus(rows[2] ?? first, "canceled");
  for (const row of [3, 1, 0].map((index) => rows[index] ?? first)) {
    await row.getByTestId("cancel-button").click();
    await expectStatus(row, "canceled");
  }
});

test("a running export shows its progress and can be canceled, and its credit is returned", async ({
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

test("a second click on the same export starts no second one, costs nothing, and says so", async ({
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

test("the chosen file of a canceled export is removed, whatever was written", async ({ page, stack }) => {
  await withPicker(page);
  await signIn(page, "alice");
  await page.getByTestId("dataset-many").click();
  await page.getByTestId("save-location").selectOption("file");
  const row = await startExport(page);
  const id = await idOf(row);
  const exportedBytes = async () => {
    const answer = await stack.rest("GET", `/v1/exports/${id}`);
    return ((await answer.json()) as { progress: { bytes: number } }).progress.bytes;
  };
  await expect.poll(exportedBytes, { timeout: 180_000, intervals: [100] }).toBeGreaterThan(80_000_000);
  await stack.pause("exporter"); // otherwise the export may complete first
  await expectReceived(row, 36_000_000); // more than the first commit
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

test("the download of a completed export can be stopped, and leaves no file", async ({ browser, stack }) => {
  const gatewayProxy = await ThrottledProxy.start(stack.url);
  const context = await browser.newContext({ baseURL: gatewayProxy.url });
  const page = await context.newPage();
  const answer = await stack.rest("POST", "/v1/exports", { dataset: "flights" });
  const { id } = (await answer.json()) as { id: string };
  await signIn(page, "alice");
  const row = rowOf(page, id);
  await expectStatus(row, "completed");
  gatewayProxy.pauseAfter(5_000_000); // otherwise the file may be complete first
  await row.getByTestId("save-button").click();
  await expectReceived(row, 1);
  await row.getByTestId("stop-button").click();
  await expect(row.getByTestId("save-status")).toHaveCount(0);
  await expect(row.getByTestId("save-button")).toBeEnabled();
  await expect(row.getByTestId("problem")).toHaveCount(0);
  gatewayProxy.release();
  const privateFiles = () =>
    page.evaluate(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("saves");
      const names: string[] = [];
      for await (const name of folder.keys()) {
        names.push(name);
      }
      return names;
    });
  await expect.poll(privateFiles).toEqual([]);
  await context.close();
  gatewayProxy.close();
});

test("an expired file is reported as expired, also on a page that missed the event", async ({
  page,
  browser,
  stack,
}) => {
  await signIn(page, "alice");
  await page.getByTestId("dataset-brief").click();
  const row = await startExport(page);
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-phase", "saved");
  const id = await idOf(row);

  const otherContext = await browser.newContext({ baseURL: stack.url });
  const otherPage = await otherContext.newPage();
  await otherPage.routeWebSocket("**/v1/ws**", (socket) => {
    const server = socket.connectToServer();
    server.onMessage((message) => {
      if (!String(message).includes('"export.expired"')) {
        socket.send(message);
      }
    });
  });
  await signIn(otherPage, "alice");
  await expectStatus(rowOf(otherPage, id), "completed");

  const status = async () => {
    stack.sluice(["schedule", "run", "sweep", "--wait"]);
    return ((await (await stack.rest("GET", `/v1/exports/${id}`)).json()) as { status: string }).status;
  };
  await expect.poll(status).toBe("expired");
  await expectStatus(row, "expired");
  await expect(row).toContainText("The file has expired and was deleted");
  await expect(row.getByTestId("repeat-button")).toBeVisible();

  await rowOf(otherPage, id).getByTestId("save-button").click();
  const problem = rowOf(otherPage, id).getByTestId("problem");
  await expect(problem).toHaveAttribute("data-slug", "expired");
  await expect(problem).toContainText("Export it again to get a fresh one.");
  await otherContext.close();
});
