import { expect, type Locator, type Page } from "@playwright/test";
import { Stack } from "../stack/stack.js";
import {
  expectReceived,
  expectStatus,
  firstReceived,
  idOf,
  rowOf,
  savedDigest,
  signIn,
  startExport,
} from "./pageActions.js";
import { testWithStack } from "./stackTest.js";
import { ThrottledProxy } from "./throttledProxy.js";

/** The page connects through a proxy, so that a test decides when a download completes. */
const test = testWithStack(() => Stack.start({ name: "restart stack" })).extend<{
  gatewayProxy: ThrottledProxy;
}>({
  gatewayProxy: async ({ stack }, use) => {
    const gatewayProxy = await ThrottledProxy.start(stack.url);
    await use(gatewayProxy);
    gatewayProxy.close();
  },
  baseURL: async ({ gatewayProxy }, use) => use(gatewayProxy.url),
});

/** Returns the digest of the seal. */
async function sealedDigest(stack: Stack, id: string): Promise<string> {
  const item = (await (await stack.rest("GET", `/v1/exports/${id}`)).json()) as { file: { sha256: string } };
  return item.file.sha256;
}

/**
 * Kills the gateway, expects the page to report the failure, and restarts the gateway. The proxy then passes `more`
 * bytes. Returns the number of bytes received before.
 */
async function restart(
  stack: Stack,
  gatewayProxy: ThrottledProxy,
  page: Page,
  row: Locator,
  more: number,
): Promise<number> {
  await stack.kill("gateway");
  gatewayProxy.disconnect();
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "reconnecting");
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-phase", "waiting");
  await expect(row.getByTestId("save-status")).toContainText("Reconnecting");
  const received = Number(await row.getByTestId("save-status").getAttribute("data-received"));
  gatewayProxy.pauseAfter(more);
  stack.launch("gateway");
  return received;
}

test("a download resumes by itself after two crashes of the gateway, and after leaving the page", async ({
  page,
  gatewayProxy,
  stack,
}) => {
  await signIn(page, "alice");
  gatewayProxy.pauseAfter(10_000_000);
  const row = await startExport(page);
  await expectReceived(row, 2_000_000);
  const received = await restart(stack, gatewayProxy, page, row, 10_000_000);
  await expectReceived(row, received);
  const second = await restart(stack, gatewayProxy, page, row, 20_000_000);
  await expectReceived(row, Math.max(second, 10_000_000));

  const id = await idOf(row);
  const downloading = page.waitForEvent("download");
  await page.goto("about:blank");
  gatewayProxy.disconnect(); // otherwise bytes for the previous page would use up the limit
  gatewayProxy.pauseAfter(5_000_000);
  await page.goto("/");
  const resumedRow = rowOf(page, id);
  // received bytes are not fetched again
  expect(await firstReceived(resumedRow)).toBeGreaterThan(10_000_000);
  gatewayProxy.release();
  const download = await downloading;
  await expectStatus(resumedRow, "completed");
  await expect(resumedRow.getByTestId("save-status")).toHaveAttribute("data-phase", "saved");
  expect(await savedDigest(download)).toBe(await sealedDigest(stack, id));
});

test("the download of a crashed tab resumes when the page is opened again", async ({
  page,
  context,
  gatewayProxy,
  stack,
}) => {
  await signIn(page, "alice");
  gatewayProxy.pauseAfter(20_000_000);
  const row = await startExport(page);
  await expectReceived(row, 5_000_000);
  const id = await idOf(row);
  const identity = await page.evaluate(() => sessionStorage.getItem("sluice.identity") ?? "");
  const crashed = page.waitForEvent("crash");
  await page.goto("chrome://crash").catch(() => undefined); // the tab crashes before it can answer
  await crashed;
  const next = await context.newPage();
  await next.addInitScript((kept) => sessionStorage.setItem("sluice.identity", kept), identity);
  const downloading = next.waitForEvent("download");
  gatewayProxy.disconnect();
  gatewayProxy.pauseAfter(5_000_000);
  await next.goto("/");
  expect(await firstReceived(rowOf(next, id))).toBeGreaterThan(5_000_000);
  gatewayProxy.release();
  expect(await savedDigest(await downloading)).toBe(await sealedDigest(stack, id));
});

test("files that a page had no time to remove are removed at the next start, before any sign-in", async ({
  page,
  baseURL,
}) => {
  await page.route("**/left", (route) => route.fulfill({ contentType: "text/html", body: "" }));
  await page.goto("/left"); // same origin, without the page's scripts
  const files = () =>
    page.evaluate(async () => {
      const root = await navigator.storage.getDirectory();
      const folder = await root.getDirectoryHandle("saves", { create: true });
      const names: string[] = [];
      for await (const name of folder.keys()) {
        names.push(name);
      }
      return names;
    });
  await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await root.getDirectoryHandle("saves", { create: true });
    await folder.getFileHandle("left-behind", { create: true });
  });
  expect(await files()).toEqual(["left-behind"]);
  await page.goto(baseURL ?? "");
  await expect(page.getByTestId("sign-in-alice")).toBeVisible();
  await expect.poll(files).toEqual([]);
});

test("a chosen file waits after a reload for the user's permission, and then resumes", async ({
  page,
  gatewayProxy,
  stack,
}) => {
  await page.addInitScript(() => {
    const picker = async () => {
      const root = await navigator.storage.getDirectory();
      return root.getFileHandle("chosen.csv", { create: true });
    };
    Object.defineProperty(window, "showSaveFilePicker", { value: picker });
    // browsers ask again after a reload, for files outside of OPFS
    Object.assign(FileSystemFileHandle.prototype, {
      queryPermission: async () => "prompt",
      requestPermission: async () => "granted",
    });
  });
  await signIn(page, "alice");
  await page.getByTestId("save-location").selectOption("file");
  gatewayProxy.pauseAfter(60_000_000);
  const row = await startExport(page);
  // more than the first commit
  await expectReceived(row, 40_000_000);
  const id = await idOf(row);
  await stack.kill("gateway");
  await page.goto("about:blank"); // otherwise the previous page would use up the limit
  gatewayProxy.disconnect();
  gatewayProxy.pauseAfter(10_000_000);
  stack.launch("gateway");
  await stack.ready();
  await page.goto("/");
  const resumedRow = rowOf(page, id);
  await expect(resumedRow.getByTestId("save-status")).toHaveAttribute("data-phase", "paused");
  await resumedRow.getByTestId("continue-button").click();
  expect(await firstReceived(resumedRow)).toBeGreaterThan(32_000_000);
  gatewayProxy.release();
  await expect(resumedRow.getByTestId("save-status")).toHaveAttribute("data-phase", "saved");
  const digest = await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const file = await (await root.getFileHandle("chosen.csv")).getFile();
    const hash = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
  });
  expect(digest).toBe(await sealedDigest(stack, id));
});
