import { readdir } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import AxeBuilder from "@axe-core/playwright";
import { type APIRequestContext, expect, type Locator, type Page, test } from "@playwright/test";
import {
  addFilter,
  expectLive,
  expectStatus,
  formProblem,
  grant,
  idOf,
  rowOf,
  signIn,
  startExport,
  tokenOf,
} from "./pageActions.js";

test.beforeAll(() => grant("carol", "globex", 20));

/** Expects no violation that axe rates serious or critical. */
async function expectAccessible(page: Page, what: string): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  const serious = violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(" ")).join(", ")}`);
  expect(serious, what).toEqual([]);
}

/** Ends an export of carol: the next test would otherwise join it, or receive its events. */
async function end(request: APIRequestContext, id: string): Promise<void> {
  const headers = { authorization: `Bearer ${await tokenOf(request, "carol")}` };
  await request.delete(`/v1/exports/${id}`, { headers });
  const status = async () => {
    const answer = await request.get(`/v1/exports/${id}`, { headers });
    return ((await answer.json()) as { status: string }).status;
  };
  await expect.poll(status).toMatch(/^(canceled|expired)$/);
}

for (const colorScheme of ["light", "dark"] as const) {
  test(`axe finds nothing serious in ${colorScheme}`, async ({ page, request }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.goto("/");
    await expect(page.getByTestId("sign-in-carol")).toBeVisible();
    await expectAccessible(page, "sign-in");
    await signIn(page, "carol");
    await addFilter(page, "delay", "gte", "oops");
    await page.getByTestId("export-button").click();
    await expect(formProblem(page)).toBeVisible();
    await expectAccessible(page, "form with a problem");
    await page.getByRole("button", { name: "Remove this filter" }).click();
    await page.getByTestId("format").selectOption("xlsx"); // a slow format
    const canceled = await startExport(page);
    const id = await idOf(canceled);
    await canceled.getByTestId("cancel-button").click();
    await expectStatus(canceled, "canceled");
    const running = await startExport(page);
    const runs = await idOf(running);
    await expect(running.getByTestId("export-progress")).toBeVisible();
    await expectAccessible(page, "running");
    await page.getByTestId("credits-open").click();
    await expect(page.getByTestId("credit-entries")).toBeVisible();
    await expectAccessible(page, "credits");
    await page.keyboard.press("Escape");
    let answer = () => {};
    const released = new Promise<void>((resolve) => {
      answer = resolve;
    });
    await page.route("**/v1/exports?*limit=100*", async (route) => {
      await released;
      await route.continue();
    });
    await page.getByTestId("history-link").click();
    await expect(page.getByRole("status", { name: "Loading" })).toBeVisible();
    await expectAccessible(page, "loading history");
    answer();
    await expect(page.getByRole("status", { name: "Loading" })).toHaveCount(0);
    await expect(page.getByTestId("day-chart")).toBeVisible();
    await expectAccessible(page, "history");
    await page.goto(`/exports/${id}`);
    await expect(page.getByTestId("repeat-button")).toBeVisible();
    await expectAccessible(page, "one export");
    await end(request, runs);
  });
}

/** Presses Tab until an element has the focus. */
async function tabTo(page: Page, what: Locator, key = "Tab"): Promise<void> {
  await expect(what.first()).toBeVisible();
  for (let pressed = 0; pressed < 80; pressed += 1) {
    if (await what.first().evaluate((element) => element === document.activeElement)) {
      return;
    }
    await page.keyboard.press(key);
  }
  throw new Error(`Tab never reaches ${what}`);
}

test("everything works with the keyboard alone, and the focus is never lost", async ({ page }) => {
  const at = (id: string) => page.getByTestId(id);
  const heading = page.getByRole("heading", { level: 1 });
  await page.goto("/");
  await tabTo(page, at("sign-in-carol"));
  await page.keyboard.press("Enter");
  await expectLive(page);
  await expect(heading).toBeFocused();
  await expect(heading).toHaveText("What to export");
  await expect(page).toHaveTitle("Sluice");
  await page.reload();
  await expectLive(page);
  await page.keyboard.press("Tab");
  await expect(page.getByText("Skip to the content")).toBeFocused();
  await page.keyboard.press("Enter");

  // adds and removes a filter, and cancels an export
  await tabTo(page, page.locator("[role=radio][aria-checked=true]"));
  await page.keyboard.press("ArrowDown");
  await expect(page.locator("[role=radio][aria-checked=true]")).toBeFocused();
  await page.keyboard.press("ArrowUp");
  await expect(at("dataset-flights")).toHaveAttribute("aria-checked", "true");
  await tabTo(page, at("filter-add"));
  await page.keyboard.press("Enter");
  await tabTo(page, page.getByRole("button", { name: "Remove this filter" }), "Shift+Tab");
  await page.keyboard.press("Enter");
  await expect(at("filter-add")).toBeFocused();
  await tabTo(page, at("format"));
  await page.keyboard.press("e"); // an Excel workbook is slow
  await expect(at("format")).toHaveValue("xlsx");
  await tabTo(page, at("export-button"));
  await page.keyboard.press("Enter");
  const row = page.getByTestId("export-row").filter({ has: at("cancel-button") });
  await expect(row.getByTestId("export-progress")).toBeVisible();
  const id = await idOf(row);
  await tabTo(page, row.getByTestId("cancel-button"));
  await page.keyboard.press("Enter");
  await expectStatus(rowOf(page, id), "canceled");
  await expect(rowOf(page, id).getByTestId("repeat-button")).toBeFocused();

  // opens the other pages
  await tabTo(page, at("history-link"));
  await page.keyboard.press("Enter");
  await expect(heading).toBeFocused();
  await expect(heading).toHaveText("History");
  await expect(page).toHaveTitle("History · Sluice");
  await tabTo(page, rowOf(page, id).getByRole("link"));
  await page.keyboard.press("Enter");
  await expect(heading).toBeFocused();
  await expect(heading).toHaveText("Export of flights");
  await expect(page).toHaveTitle("Export of flights · Sluice");

  // saves a file
  await tabTo(page, page.getByRole("link", { name: "All exports" }));
  await page.keyboard.press("Enter");
  await tabTo(page, page.locator("[role=radio][aria-checked=true]"));
  while (!(await at("dataset-muscles").evaluate((radio) => radio === document.activeElement))) {
    await page.keyboard.press("ArrowDown");
  }
  const downloading = page.waitForEvent("download");
  await tabTo(page, at("export-button"));
  await page.keyboard.press("Enter");
  await downloading;
  await expect(at("live-region")).toContainText("The export of muscles has ended: Completed");
});

test("a failed estimate is retried by itself or by a click, and says why", async ({ page }) => {
  let unavailable = true;
  await page.route("**/v1/exports/estimate", (route) => (unavailable ? route.abort() : route.continue()));
  await signIn(page, "carol");
  await page.getByTestId("dataset-flights").click();
  const previewProblem = page.getByTestId("preview-problem");
  await expect(previewProblem).toContainText("The server can't be reached.");
  unavailable = false;
  await previewProblem.getByRole("button", { name: "Try again" }).click();
  await expect(page.getByTestId("preview").locator("tbody tr")).toHaveCount(10);

  unavailable = true;
  await page.getByTestId("dataset-muscles").click();
  await expect(previewProblem).toBeVisible();
  unavailable = false;
  await page.context().setOffline(true);
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "offline");
  await page.context().setOffline(false); // a new session: failed queries are fetched again
  await expect(page.getByTestId("preview")).toBeVisible();
});

test.describe("a user in Tokyo with German settings", () => {
  test.use({ locale: "de-DE", timezoneId: "Asia/Tokyo" });

  test("sees numbers, dates and times in their own format", async ({ page, request }) => {
    await signIn(page, "carol");
    await page.getByTestId("dataset-flights").click();
    await expect(page.getByTestId("estimate")).toContainText("3.000.000 rows");
    await addFilter(page, "origin", "eq", "BUR");
    const row = await startExport(page);
    const id = await idOf(row);
    await expectStatus(row, "completed");
    const authorization = `Bearer ${await tokenOf(request, "carol")}`;
    const answer = await request.get(`/v1/exports/${id}`, { headers: { authorization } });
    const { requested_at, file } = (await answer.json()) as {
      requested_at: string;
      file: { rows: number; size: number };
    };
    // computed without Intl: UTC+9, and points between thousands
    const there = new Date(Date.parse(requested_at) + 9 * 3600 * 1000).toISOString();
    const [year, month, day] = there.slice(0, 10).split("-");
    await expect(row).toContainText(`${day}.${month}.${year}, ${there.slice(11, 19)}`);
    const thousands = String(file.rows).replace(/\B(?=(\d{3})+$)/g, ".");
    await expect(row.getByTestId("export-status-line")).toContainText(`${thousands} rows`);
    await expect(row.getByTestId("export-status-line")).toContainText(/\d(,\d)? [kM]B$/);
  });
});

test("the content security policy allows no inline script, and the page violates none of it", async ({
  page,
  request,
}) => {
  const violations: string[] = [];
  page.on("console", (message) => {
    if (/Content.Security.Policy/i.test(message.text())) {
      violations.push(message.text());
    }
  });
  await signIn(page, "carol");
  await page.getByTestId("dataset-muscles").click();
  const row = await startExport(page);
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-phase", "saved");
  expect(violations).toEqual([]);

  const answer = await request.get("/");
  const headers = answer.headers();
  const policy = Object.fromEntries(
    (headers["content-security-policy"] ?? "").split("; ").map((part) => {
      const [name = "", ...values] = part.split(" ");
      return [name, values.join(" ")];
    }),
  );
  expect(policy).toMatchObject({
    "default-src": "'none'",
    "script-src": "'self'",
    "connect-src": "'self'",
    "frame-ancestors": "'none'",
    "object-src": "'none'",
    "base-uri": "'none'",
  });
  expect(headers).toMatchObject({
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
  });
  expect(await answer.text()).not.toMatch(/<script(?![^>]* src=)/);

  const dist = fileURLToPath(new URL("../app/dist/assets/", import.meta.url));
  const script = (await readdir(dist)).find((name) => /^main-.*\.js$/.test(name));
  const asset = await request.get(`/assets/${script}`, { headers: { "accept-encoding": "br" } });
  expect(asset.headers()).toMatchObject({
    "cache-control": "public, max-age=31536000, immutable",
    "content-encoding": "br",
  });
  expect((await request.get("/saving/x/flights.csv")).status()).toBe(404);
  expect((await request.get("/assets/main-gone.js")).status()).toBe(404);
});

test("no token is in the address, in localStorage, in IndexedDB or in any request's URL", async ({
  page,
}) => {
  const urls: string[] = [];
  page.on("request", (request) => urls.push(request.url()));
  page.on("websocket", (socket) => urls.push(socket.url()));
  await signIn(page, "carol");
  await page.getByTestId("dataset-muscles").click();
  const row = await startExport(page);
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-phase", "saved");
  const { token, stored } = await page.evaluate(async () => {
    const identity = JSON.parse(sessionStorage.getItem("sluice.identity") ?? "{}") as { token: string };
    const database = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open("sluice");
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const entries = await new Promise<unknown[]>((resolve, reject) => {
      const request = database.transaction("saves").objectStore("saves").getAll();
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(request.error);
    });
    const local = { ...localStorage };
    return {
      token: identity.token,
      stored: JSON.stringify([local, entries, document.cookie, location.href]),
    };
  });
  expect(token.length).toBeGreaterThan(20);
  expect(stored).toContain("muscles");
  expect(stored).not.toContain(token);
  expect(urls.some((url) => url.includes("/v1/ws"))).toBe(true);
  expect(urls.filter((url) => url.includes(token))).toEqual([]);
});

test("the history finds exports by words, status and dataset, and links to each", async ({ page }) => {
  await signIn(page, "carol");
  await page.getByTestId("dataset-flights").click();
  const word = `q${Math.random().toString(36).slice(2)}`;
  await addFilter(page, "origin", "ne", word);
  const row = await startExport(page);
  const id = await idOf(row);
  await expectStatus(row, "completed");
  await page.getByTestId("history-link").click();
  await page.getByTestId("history-search").fill(`${word.toUpperCase()} origin`);
  await expect(page.getByTestId("export-row")).toHaveCount(1);
  await expect(page.getByTestId("history-count")).toContainText(/^1 of \d+/);
  await page.getByTestId("history-search").fill("");
  await page.getByTestId("history-status").selectOption("failed");
  await expect(page.getByTestId("export-row")).toHaveCount(0);
  await page.getByTestId("history-status").selectOption("");
  await page.getByTestId("history-dataset").selectOption("flights");
  await page.locator(`[data-export-id="${id}"] a`).first().click();
  await expect(page).toHaveURL(new RegExp(`/exports/${id}$`));
  await page.reload();
  await expect(page.getByText(/^[0-9a-f]{64}$/)).toBeVisible();
});

test("an estimate with the first rows is shown before the click, and follows the form", async ({ page }) => {
  await signIn(page, "carol");
  await page.getByTestId("dataset-flights").click();
  await expect(page.getByTestId("estimate")).toContainText("3,000,000 rows");
  await expect(page.getByTestId("estimate")).toContainText("MB");
  await expect(page.getByTestId("estimate")).toContainText("Costs 1 credit");
  await expect(page.getByTestId("preview").locator("tbody tr")).toHaveCount(10);
  await addFilter(page, "origin", "eq", "BUR");
  await expect(page.getByTestId("preview").locator("tbody tr").first()).toContainText("BUR");
  await page.getByTestId("columns-tab").click();
  await page.getByTestId("column-date").uncheck();
  await page.getByRole("tab", { name: "First rows" }).click();
  await expect(page.getByTestId("preview").locator("thead th")).toHaveCount(4);
});

test("a user in another window is notified, and the notification leads to the export", async ({ page }) => {
  await page.addInitScript(() => {
    const shown: string[] = [];
    class Stub {
      static permission = "granted";
      static requestPermission = async () => "granted";
      onclick: (() => void) | undefined;
      constructor(title: string) {
        shown.push(title);
        Object.assign(window, { lastNotice: this });
      }
      close() {}
    }
    Object.assign(window, { Notification: Stub, shown });
  });
  await signIn(page, "carol");
  await page.getByTestId("account-menu").click();
  await page.getByTestId("notify-switch").click();
  await page.keyboard.press("Escape");
  await page.getByTestId("dataset-muscles").click();
  await page.evaluate(() => Object.defineProperty(document, "hidden", { value: true, configurable: true }));
  const row = await startExport(page);
  const id = await idOf(row);
  await expect
    .poll(() => page.evaluate(() => (window as unknown as { shown: string[] }).shown))
    .toHaveLength(1);
  await page.evaluate(() => (window as unknown as { lastNotice: { onclick(): void } }).lastNotice.onclick());
  await expect(page).toHaveURL(new RegExp(`/exports/${id}$`));
});

test("when no WebSocket can be opened the page says so, and events and files still arrive", async ({
  page,
}) => {
  await page.addInitScript(() => {
    Object.defineProperty(window, "WebSocket", {
      value: class {
        constructor() {
          throw new Error("blocked");
        }
      },
    });
  });
  await page.goto("/");
  await page.getByTestId("sign-in-carol").click();
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "limited");
  await page.getByTestId("dataset-muscles").click();
  const downloading = page.waitForEvent("download");
  const row = await startExport(page);
  await expectStatus(row, "completed");
  await downloading;
});
