import { expect, type Page, test } from "@playwright/test";
import {
  balanceOf,
  expectListed,
  expectLive,
  expectReceived,
  expectStatus,
  formProblem,
  grant,
  idOf,
  savedDigest,
  signIn,
  startExport,
  tokenOf,
} from "./pageActions.js";
import { ThrottledProxy } from "./throttledProxy.js";

// Failures of the environment: no network, no disk space, a newer server, a browser that denies a feature.

test.beforeAll(() => grant("dave", "globex", 40));

/** An answer of the gateway with a problem document. */
function problem(slug: string, status: number) {
  const body = JSON.stringify({ type: `/problems/${slug}`, title: slug, status });
  return { status, contentType: "application/problem+json", body };
}

/** Lists what this browser stores about users: private files and journal entries. */
async function storedData(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    const stored: string[] = [];
    const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("saves", {
      create: true,
    });
    for await (const name of folder.keys()) {
      stored.push(`file ${name}`);
    }
    const database = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open("sluice", 1);
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const ids = await new Promise<IDBValidKey[]>((resolve, reject) => {
      const request = database.transaction("saves").objectStore("saves").getAllKeys();
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    database.close();
    return [...stored, ...ids.map((id) => `note ${id}`)];
  });
}

async function sealedDigest(page: Page, id: string): Promise<string> {
  const authorization = `Bearer ${await tokenOf(page.request, "dave")}`;
  const answer = await page.request.get(`/v1/exports/${id}`, { headers: { authorization } });
  return ((await answer.json()) as { file: { sha256: string } }).file.sha256;
}

async function signOut(page: Page): Promise<void> {
  await page.getByTestId("account-menu").click();
  await page.getByTestId("sign-out").click();
  await expect(page.getByTestId("sign-in-dave")).toBeVisible();
}

/** Runs in the worker: limits the size of its private files in bytes. */
function limitPrivateFiles(maxBytes: number): void {
  type Write = (data: BufferSource, options?: { at?: number }) => number;
  const files = (self as unknown as { FileSystemSyncAccessHandle: { prototype: { write: Write } } })
    .FileSystemSyncAccessHandle.prototype;
  const { write } = files;
  files.write = function (data, options) {
    if ((options?.at ?? 0) > maxBytes) {
      throw new DOMException("No space available for this operation", "QuotaExceededError");
    }
    return write.call(this, data, options);
  };
}

test("without a network a click fails at once, and no export is started or charged later", async ({
  page,
  context,
}) => {
  await signIn(page, "dave");
  await page.getByTestId("dataset-muscles").click();
  await expectListed(page);
  const [rows, balance] = [await page.getByTestId("export-row").count(), await balanceOf(page)];
  await context.setOffline(true);
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "offline");
  await page.getByTestId("export-button").click();
  await expect(formProblem(page)).toContainText("The server can't be reached");
  await expect(page.getByTestId("export-button")).toBeEnabled();
  const requests: string[] = [];
  page.on(
    "request",
    (request) => request.method() === "POST" && requests.push(new URL(request.url()).pathname),
  );
  await context.setOffline(false);
  await expectLive(page);
  await page.getByTestId("history-link").click();
  await expect(page.getByTestId("history-count")).toBeVisible();
  expect(requests.filter((path) => path === "/v1/exports")).toEqual([]);
  await page.goto("/");
  await expectLive(page);
  await expect(page.getByTestId("export-button")).toBeVisible();
  await expectListed(page);
  expect(await page.getByTestId("export-row").count()).toBe(rows);
  expect(await balanceOf(page)).toBe(balance);
});

test("a token that arrives after the sign-out does not sign the user in again", async ({ page }) => {
  await signIn(page, "dave");
  await page.goto("about:blank"); // the closed page sends no further requests
  await page.route("**/v1/credits", (route) => route.fulfill(problem("unauthorized", 401)));
  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  let renewals = 0;
  await page.route("**/local/sign-in", async (route) => {
    renewals += 1;
    await released;
    await route.continue();
  });
  await page.goto("/");
  await expect.poll(() => renewals).toBeGreaterThan(0);
  await signOut(page);
  const renewed = page.waitForResponse("**/local/sign-in");
  release();
  await (await renewed).finished();
  // the page handles the answer within the next task
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve)));
  await expect(page.getByTestId("account-menu")).toHaveCount(0);
  expect(await page.evaluate(() => Object.keys(sessionStorage))).toEqual([]);
});

test("signing out reaches the user's other tabs, and no other user's", async ({ browser, baseURL }) => {
  const gatewayProxy = await ThrottledProxy.start(baseURL ?? "");
  const context = await browser.newContext({ baseURL: gatewayProxy.url });
  const [page, second, other] = [await context.newPage(), await context.newPage(), await context.newPage()];
  await signIn(page, "dave");
  await signIn(second, "dave");
  await signIn(other, "carol");
  await second.getByTestId("dataset-flights").click();
  await expectListed(second);
  gatewayProxy.pauseAfter(5_000_000); // otherwise the file may be complete first
  await expectReceived(await startExport(second), 1_000_000);
  gatewayProxy.release(); // most of the file is still missing
  await signOut(page);
  await expect(second.getByTestId("sign-in-dave")).toBeVisible();
  await expect(other.getByTestId("account-menu")).toBeVisible();
  await expect.poll(() => storedData(page)).toEqual([]); // the file that the other tab was writing is removed too
  await context.close();
  gatewayProxy.close();
});

test("signing out while the server is unavailable leaves nothing of the user either", async ({
  page,
  context,
}) => {
  await signIn(page, "dave");
  await page.getByTestId("dataset-muscles").click();
  const row = await startExport(page);
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-phase", "saved");
  expect(await storedData(page)).toHaveLength(2);
  await context.route("**/v1/**", (route) => route.abort());
  await page.reload();
  await signOut(page);
  await expect.poll(() => storedData(page)).toEqual([]);
});

test("invalid addresses are answered with a sentence", async ({ page }) => {
  await signIn(page, "dave", "/datasets/100%25");
  await expect(page.getByTestId("problem")).toContainText("There is no dataset called “100%”");
  await page.goto("/datasets/%E0%A4%A");
  await expect(page.getByTestId("problem")).toHaveAttribute("data-slug", "unknown-dataset");
  await page.goto("/no/such/place");
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("There is nothing at this address");
});

test("a page that fails to render says so and can be reloaded", async ({ page }) => {
  await page.route("**/v1/credits", (route) =>
    route.fulfill({ json: { balance: 1, released: 0, entries: null } }),
  );
  await signIn(page, "dave");
  await page.getByTestId("credits-open").click();
  await expect(page.getByTestId("error-boundary")).toContainText("This page has failed");
  await page.unroute("**/v1/credits");
  await page.getByRole("button", { name: "Reload the page" }).click();
  await expectLive(page);
});

test("where only a service worker may show notifications, it shows them, and the connection stays open", async ({
  page,
  context,
}) => {
  await context.grantPermissions(["notifications"]);
  await page.addInitScript(() => {
    class Forbidden {
      static permission = "granted";
      constructor() {
        throw new TypeError("Illegal constructor. Use ServiceWorkerRegistration.showNotification() instead.");
      }
    }
    Object.assign(window, { Notification: Forbidden });
  });
  let sockets = 0;
  page.on("websocket", () => {
    sockets += 1;
  });
  await signIn(page, "dave");
  await page.getByTestId("account-menu").click();
  await page.getByTestId("notify-switch").click();
  await page.keyboard.press("Escape");
  await page.getByTestId("dataset-muscles").click();
  await page.evaluate(() => Object.defineProperty(document, "hidden", { value: true, configurable: true }));
  const row = await startExport(page);
  const notifications = () =>
    page.evaluate(async () => {
      const registration = await navigator.serviceWorker.getRegistration("/saving/");
      return (await registration?.getNotifications())?.map(({ title }) => title);
    });
  await expect.poll(notifications).toEqual([expect.stringMatching(/^muscles.*Completed$/)]);
  await expectStatus(row, "completed");
  await expectLive(page);
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-phase", "saved");
  // a received byte means that the worker has opened its own socket
  await expect.poll(() => sockets).toBe(2); // one of the page, one of the worker, no reconnect
});

test("the page tells a user who has denied notifications where to allow them", async ({ page }) => {
  await page.addInitScript(() => {
    Object.assign(window, { Notification: { permission: "denied" } });
  });
  await signIn(page, "dave");
  await page.getByTestId("account-menu").click();
  await expect(page.getByTestId("notify-switch")).toContainText("blocked in this browser's settings");
  await expect(page.getByTestId("notify-switch")).toBeDisabled();
});

test("when private files have no space left, a browser download saves the file", async ({
  page,
  context,
}) => {
  // a test can't fill the disk: writes beyond a limit fail with the error of a full disk
  await context.route("**/assets/worker-*.js", async (route) => {
    const script = await (await route.fetch()).text();
    await route.fulfill({
      contentType: "text/javascript",
      body: `(${limitPrivateFiles})(3_000_000);\n${script}`,
    });
  });
  // without an estimate the page does not know the size beforehand
  await page.route("**/v1/exports/estimate", (route) => route.fulfill(problem("unavailable", 503)));
  await signIn(page, "dave");
  await page.getByTestId("dataset-flights").click();
  const downloading = page.waitForEvent("download");
  const row = await startExport(page);
  const download = await downloading;
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-method", "stream");
  await expectStatus(row, "completed");
  expect(await savedDigest(download)).toBe(await sealedDigest(page, await idOf(row)));
  await expect.poll(() => storedData(page)).toEqual([]);
});

test("a page that is older than the server says that it must be reloaded", async ({ page, context }) => {
  await context.route("**/assets/worker-*", (route) => route.fulfill({ status: 404 }));
  await signIn(page, "dave");
  await page.getByTestId("dataset-muscles").click();
  const row = await startExport(page);
  await expect(row.getByTestId("problem")).toHaveAttribute("data-reason", "outdated");
  await expect(row.getByTestId("problem")).toContainText("This page is older than the server");
  await context.unroute("**/assets/worker-*");
  const downloading = page.waitForEvent("download");
  await page.getByRole("button", { name: "Reload the page" }).click();
  await downloading; // the file is saved after the reload, as the text says
});

test("when the browser denies databases, files are still saved", async ({ page }) => {
  await page.addInitScript(() => {
    IDBFactory.prototype.open = () => {
      throw new DOMException("no mutations are allowed here", "InvalidStateError");
    };
  });
  await signIn(page, "dave");
  await page.getByTestId("dataset-muscles").click();
  const downloading = page.waitForEvent("download");
  const row = await startExport(page);
  expect(await savedDigest(await downloading)).toBe(await sealedDigest(page, await idOf(row)));
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-method", "stream");
});
