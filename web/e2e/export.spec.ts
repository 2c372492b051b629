import { expect, test } from "@playwright/test";
import {
  addFilter,
  balanceOf,
  expectStatus,
  formProblem,
  grant,
  readCsv,
  savedBytes,
  sha256,
  signIn,
  startExport,
  tokenOf,
} from "./pageActions.js";

test.beforeAll(() => grant("alice", "acme", 20));

const TIMESTAMP = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

test("a click on Export ends with the complete, verified file on disk", async ({ page, request }) => {
  await signIn(page, "alice");
  const before = await balanceOf(page);
  await page.getByTestId("dataset-flights").click();
  await addFilter(page, "origin", "eq", "SEA");

  const downloading = page.waitForEvent("download");
  const row = await startExport(page);
  const download = await downloading;
  await expectStatus(row, "completed");

  const saved = await savedBytes(download);
  expect(download.suggestedFilename()).toMatch(/^flights-.*\.csv$/);
  const file = readCsv(saved);
  expect(file.requestedAt).toMatch(TIMESTAMP);
  expect(file.completedAt).toMatch(TIMESTAMP);
  expect(file.requestedAt <= file.completedAt).toBe(true);
  expect(file.rows).toBeGreaterThan(0);
  expect(file.data.length).toBe(file.rows);
  const origin = file.header.indexOf("origin");
  expect(new Set(file.data.map((cells) => cells[origin]))).toEqual(new Set(["SEA"]));

  const id = await row.getAttribute("data-export-id");
  const token = await tokenOf(request, "alice");
  const answer = await request.get(`/v1/exports/${id}/file`, {
    headers: { authorization: `Bearer ${token}` },
  });
  expect(answer.status()).toBe(200);
  expect(answer.headers().etag).toBe(`"${sha256(saved)}"`);
  expect((await answer.body()).equals(saved)).toBe(true);

  await expect.poll(() => balanceOf(page)).toBe(before - 1);

  const again = page.waitForEvent("download");
  await row.getByTestId("save-button").click();
  expect((await savedBytes(await again)).equals(saved)).toBe(true);
});

test("two tabs of one user show the same exports, and only the tab that started one saves it", async ({
  page,
  context,
}) => {
  await signIn(page, "alice");
  const second = await context.newPage();
  await signIn(second, "alice");
  await page.getByTestId("dataset-muscles").click();
  const row = await startExport(page);
  const id = (await row.getAttribute("data-export-id")) ?? "";
  const rowInSecondTab = second.locator(`[data-export-id="${id}"]`);
  await expectStatus(rowInSecondTab, "completed");
  await expectStatus(row, "completed");
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-phase", "saved");
  await expect(rowInSecondTab.getByTestId("save-status")).toHaveCount(0);
  await expect.poll(async () => (await balanceOf(second)) - (await balanceOf(page))).toBe(0);
});

test("users of other tenants see none of the exports", async ({ page, browser, request }) => {
  await signIn(page, "alice");
  const ownRows = page.getByTestId("export-row");
  await expect(ownRows.first()).toBeVisible();
  const id = await ownRows.first().getAttribute("data-export-id");

  const answer = await request.get("/local/people");
  const { people } = (await answer.json()) as { people: { id: string; tenant: string }[] };
  const alice = people.find((person) => person.id === "alice");
  const otherUser = people.find((person) => person.tenant !== alice?.tenant);
  expect(otherUser, "a local person of another tenant").toBeDefined();

  const other = await browser.newContext();
  const otherPage = await other.newPage();
  await signIn(otherPage, otherUser?.id ?? "");
  await expect(otherPage.locator(`[data-export-id="${id}"]`)).toHaveCount(0);
  await otherPage.goto(`/exports/${id}`);
  await expect(otherPage.getByTestId("problem")).toHaveAttribute("data-slug", "not-found");
  await other.close();

  const token = await tokenOf(request, otherUser?.id ?? "");
  const file = await request.get(`/v1/exports/${id}/file`, { headers: { authorization: `Bearer ${token}` } });
  expect(file.status()).toBe(404);
});

test("invalid input is answered with a sentence that says what to do", async ({ page }) => {
  await signIn(page, "alice");
  const before = await balanceOf(page);
  await page.getByTestId("dataset-flights").click();
  await addFilter(page, "delay", "gte", "very late");
  await page.getByTestId("export-button").click();
  const problem = formProblem(page);
  await expect(problem).toHaveAttribute("data-slug", "invalid-filter");
  await expect(problem).toContainText("The filter is not valid");
  await expect(problem).toContainText("delay at least: ");
  await expect(problem).toContainText("Correct what is marked and try again.");
  expect(await balanceOf(page)).toBe(before);

  // the invalid value is marked until the user changes it
  const value = page.getByTestId("filter-value");
  await expect(value).toHaveAttribute("aria-invalid", "true");
  await value.fill("30");
  await expect(value).not.toHaveAttribute("aria-invalid", "true");

  await page.getByTestId("filter-op").selectOption("in");
  await page.getByTestId("filter-column").selectOption("origin");
  await page.getByTestId("filter-op").selectOption("in");
  await value.fill("Smith, John");
  await value.press("Enter");
  await expect(page.getByText("Smith, John", { exact: true })).toBeVisible();
  await page.getByTestId("filter-op").selectOption("eq");
  await page.getByTestId("export-button").click();
  await expect(page.getByText("Enter a value")).toBeVisible();
  expect(await balanceOf(page)).toBe(before);
});

test("a reload keeps the user signed in and the exports listed, with no token in localStorage or the URL", async ({
  page,
}) => {
  await signIn(page, "alice");
  await expect(page.getByTestId("export-row").first()).toBeVisible();
  await page.reload();
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "live");
  await expect(page.getByTestId("export-row").first()).toBeVisible();
  const stored = await page.evaluate(() => JSON.stringify({ ...localStorage }) + window.location.href);
  const token = await page.evaluate(
    () => (JSON.parse(sessionStorage.getItem("sluice.identity") ?? "{}") as { token?: string }).token,
  );
  expect(token).toBeTruthy();
  expect(stored).not.toContain(token);
});
