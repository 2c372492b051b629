import { test as base, expect, type Page, type WebSocket } from "@playwright/test";
import {
  addFilter,
  expectListed,
  expectReceived,
  expectStatus,
  formProblem,
  grant,
  idOf,
  savedBytes,
  signIn,
  startExport,
  tokenOf,
} from "./pageActions.js";
import { ThrottledProxy } from "./throttledProxy.js";

/** The page connects through a proxy, so that a test decides when a download completes. */
const test = base.extend<{ gatewayProxy: ThrottledProxy }>({
  gatewayProxy: async ({ browserName: _ }, use) => {
    const gatewayProxy = await ThrottledProxy.start(process.env.SLUICE_URL ?? "");
    await use(gatewayProxy);
    gatewayProxy.close();
  },
  baseURL: async ({ gatewayProxy }, use) => use(gatewayProxy.url),
});
test.beforeAll(() => grant("bob", "acme", 20));

/** Returns the file over REST, to compare with the saved bytes. */
async function fetchFile(page: Page, id: string): Promise<Buffer> {
  const token = await tokenOf(page.request, "bob");
  const answer = await page.request.get(`/v1/exports/${id}/file`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(answer.status()).toBe(200);
  return answer.body();
}

/** Removes OPFS, as in a browser without it. */
async function withoutPrivateFiles(page: Page): Promise<void> {
  await page.addInitScript(() => {
    Object.defineProperty(StorageManager.prototype, "getDirectory", { value: undefined });
  });
}

test("a private file is saved when it is complete, and again without another download", async ({ page }) => {
  const sockets: WebSocket[] = [];
  page.on("websocket", (socket) => sockets.push(socket));
  await signIn(page, "bob");
  const downloading = page.waitForEvent("download");
  const row = await startExport(page);
  const saved = await savedBytes(await downloading);
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-method", "private");
  expect(saved.equals(await fetchFile(page, await idOf(row)))).toBe(true);

  const id = await idOf(row);
  let fetched = 0;
  page.on("request", (request) => {
    fetched += request.url().includes(`/v1/exports/${id}`) ? 1 : 0;
  });
  const binary = ({ payload }: { payload: string | Buffer }) => {
    fetched += typeof payload === "string" ? 0 : 1;
  };
  for (const socket of sockets) {
    socket.on("framereceived", binary);
  }
  page.on("websocket", (socket) => socket.on("framereceived", binary));
  const secondDownload = page.waitForEvent("download");
  await row.getByTestId("save-button").click();
  expect((await savedBytes(await secondDownload)).equals(saved)).toBe(true);
  expect(fetched).toBe(0);
});

test("a chosen file is written while the export runs", async ({ page, gatewayProxy }) => {
  await page.addInitScript(() => {
    const picker = async ({ suggestedName }: { suggestedName: string }) => {
      const root = await navigator.storage.getDirectory();
      return root.getFileHandle(`chosen-${suggestedName}`, { create: true });
    };
    Object.defineProperty(window, "showSaveFilePicker", { value: picker });
  });
  await signIn(page, "bob");
  await page.getByTestId("save-location").selectOption("file");
  await expectListed(page);
  gatewayProxy.pauseAfter(5_000_000);
  const row = await startExport(page);
  await expectReceived(row, 1);
  gatewayProxy.release();
  await expectStatus(row, "completed");
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-method", "file");
  const digest = await page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const file = await (await root.getFileHandle("chosen-flights.csv")).getFile();
    const hash = await crypto.subtle.digest("SHA-256", await file.arrayBuffer());
    return Array.from(new Uint8Array(hash), (byte) => byte.toString(16).padStart(2, "0")).join("");
  });
  const token = await tokenOf(page.request, "bob");
  const item = await page.request.get(`/v1/exports/${await idOf(row)}`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(digest).toBe(((await item.json()) as { file: { sha256: string } }).file.sha256);
});

test("closing the file dialog starts no export", async ({ page }) => {
  await page.addInitScript(() => {
    const picker = () => Promise.reject(new DOMException("closed", "AbortError"));
    Object.defineProperty(window, "showSaveFilePicker", { value: picker });
  });
  await signIn(page, "bob");
  await page.getByTestId("save-location").selectOption("file");
  await expectListed(page);
  const before = await page.getByTestId("export-row").count();
  await page.getByTestId("export-button").click();
  await expect(page.getByTestId("export-button")).toBeEnabled();
  await expect(formProblem(page)).toHaveCount(0);
  expect(await page.getByTestId("export-row").count()).toBe(before);
});

test("without private files a service worker streams the file into a browser download", async ({ page }) => {
  await withoutPrivateFiles(page);
  await signIn(page, "bob");
  await addFilter(page, "origin", "in", "SEA");
  await page.keyboard.press("Enter");
  const downloading = page.waitForEvent("download");
  const row = await startExport(page);
  const download = await downloading;
  expect(download.suggestedFilename()).toBe("flights.csv");
  const saved = await savedBytes(download);
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-method", "stream");
  expect(saved.equals(await fetchFile(page, await idOf(row)))).toBe(true);
});

test("without a service worker memory holds a small file, and the page says so", async ({
  page,
  gatewayProxy,
}) => {
  await withoutPrivateFiles(page);
  await page.addInitScript(() => {
    Reflect.deleteProperty(Navigator.prototype, "serviceWorker");
  });
  await signIn(page, "bob");
  const downloading = page.waitForEvent("download");
  await expectListed(page);
  gatewayProxy.pauseAfter(5_000_000);
  const row = await startExport(page);
  await expect(row.getByText("keeps the file in memory")).toBeVisible();
  gatewayProxy.release();
  const saved = await savedBytes(await downloading);
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-method", "memory");
  expect(saved.equals(await fetchFile(page, await idOf(row)))).toBe(true);
});

test("signing out removes everything of the user", async ({ page }) => {
  await signIn(page, "bob");
  await page.getByTestId("dataset-menus").click();
  const row = await startExport(page);
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-phase", "saved");
  await page.getByTestId("account-menu").click();
  await page.getByTestId("sign-out").click();
  await expect(page.getByTestId("sign-in-bob")).toBeVisible();
  const privateFiles = () =>
    page.evaluate(async () => {
      const names: string[] = [];
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("saves");
      for await (const name of folder.keys()) {
        names.push(name);
      }
      return [...names, ...Object.keys(sessionStorage)];
    });
  await expect.poll(privateFiles).toEqual([]);
});
