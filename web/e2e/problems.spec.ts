import { expect } from "@playwright/test";
import { Stack } from "../stack/stack.js";
import {
  balanceOf,
  expectListed,
  expectLive,
  expectStatus,
  formProblem,
  idOf,
  signIn,
  startExport,
} from "./pageActions.js";
import { testWithStack } from "./stackTest.js";

const test = testWithStack(() => Stack.start({ name: "problem stack" }));

test("an export that is canceled elsewhere shows it here, and its credit is returned", async ({
  page,
  stack,
}) => {
  await signIn(page, "alice");
  const before = await balanceOf(page);
  await page.getByTestId("format").selectOption("xlsx"); // a slow format
  const row = await startExport(page);
  await stack.rest("DELETE", `/v1/exports/${await idOf(row)}`);
  await expectStatus(row, "canceled");
  await expect(row).toContainText("Canceled; the credit was given back");
  await expect(row.getByTestId("repeat-button")).toBeVisible();
  await expect(row.getByTestId("save-status")).toHaveCount(0);
  await expect.poll(() => balanceOf(page)).toBe(before);
});

test("an expired file is reported, and can be exported again", async ({ page, stack }) => {
  await signIn(page, "alice");
  await page.getByTestId("dataset-menus").click();
  const row = await startExport(page);
  const id = await idOf(row);
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-phase", "saved");
  await stack.rest("DELETE", `/v1/exports/${id}`);
  await expectStatus(row, "expired");
  await expect(row).toContainText("The file has expired and was deleted");
  await page.goto(`/exports/${id}`);
  const repeatButton = page.getByTestId("repeat-button");
  await expect(repeatButton).toBeVisible();
  const downloading = page.waitForEvent("download");
  await repeatButton.click();
  await downloading;
});

test("without credits the page says when the next one comes and what to do", async ({ page }) => {
  await signIn(page, "alice");
  await page.getByTestId("dataset-muscles").click();
  while ((await balanceOf(page)) > 0) {
    const before = await balanceOf(page);
    await expectStatus(await startExport(page), "completed"); // until then the same request would join it
    await expect.poll(() => balanceOf(page)).toBe(before - 1);
  }
  await page.getByTestId("format").selectOption("ndjson");
  await page.getByTestId("export-button").click();
  const problem = formProblem(page);
  await expect(problem).toHaveAttribute("data-slug", "credits-exhausted");
  await expect(problem).toContainText("You have no credits left");
  await expect(problem).toContainText("Press your balance to see when the next one comes.");
  await page.getByTestId("credits-open").click();
  await expect(page.getByTestId("next-grant")).toContainText("The next credit comes in");
  await expect(page.getByTestId("credit-entries")).toContainText("Spent");
  await expect(page.getByTestId("credit-entries")).toContainText("Given back");
});

test("failed credits are reported, and appear as soon as they can be fetched", async ({ page }) => {
  const body = JSON.stringify({ type: "/problems/unauthorized", title: "not now", status: 401 });
  const pattern = "**/v1/credits";
  await page.route(pattern, (route) =>
    route.fulfill({ status: 401, contentType: "application/problem+json", body }),
  );
  await page.goto("/");
  await page.getByTestId("sign-in-alice").click();
  await page.getByTestId("credits-unknown").click();
  const problem = page.getByRole("dialog", { name: "Credits" }).getByTestId("problem");
  await expect(problem).toHaveAttribute("data-slug", "unauthorized");
  await expectLive(page); // no event follows that would refetch the credits
  await page.unroute(pattern);
  await expect(page.getByTestId("credits-panel")).toBeVisible();
  await expect(page.getByTestId("credit-balance")).toBeVisible();
  await expect(page.getByTestId("credits-unknown")).toHaveCount(0);
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("credits-open")).toBeFocused(); // still the same button
});

test("an unknown dataset is named, with what to do", async ({ page }) => {
  await signIn(page, "bob", "/datasets/no-such-one");
  const problem = page.getByTestId("problem");
  await expect(problem).toHaveAttribute("data-slug", "unknown-dataset");
  await expect(problem).toContainText("There is no dataset called “no-such-one”");
  await expect(problem).toContainText("Choose another one");
  await expect(page.getByTestId("export-button")).toHaveCount(0);
});

test("without any dataset the page says what to do next, and shows no form", async ({ page }) => {
  await page.route("**/v1/datasets", (route) => route.fulfill({ json: { items: [] } }));
  await signIn(page, "bob");
  const empty = page.getByTestId("no-datasets");
  await expect(empty).toContainText("No datasets yet");
  await expect(empty).toContainText("Ask your administrator for access to a dataset.");
  await expect(empty).toContainText("docs/catalog.md");
  await expect(page.getByTestId("export-button")).toHaveCount(0);
});

test("an export that does not exist is reported as not found", async ({ page }) => {
  await signIn(page, "bob", "/exports/01a20487-5b12-7407-a3eb-e3846ee38168");
  await expect(page.getByTestId("problem")).toContainText("There is no such export");
});

test("while the server is down the page says so, and continues by itself", async ({ page, stack }) => {
  await signIn(page, "bob");
  await page.getByTestId("dataset-muscles").click();
  await expectListed(page);
  let failedRequests = 0;
  page.on("requestfailed", (request) => {
    failedRequests += Number(new URL(request.url()).pathname === "/v1/exports" && request.method() === "GET");
  });
  await stack.kill("gateway");
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "reconnecting");
  await page.getByTestId("export-button").click();
  const problem = formProblem(page);
  await expect(problem).toHaveAttribute("data-slug", "network");
  await expect(problem).toContainText("The server can't be reached");
  await expect(problem).toContainText("This page continues when it is back.");
  await expect.poll(() => failedRequests).toBeGreaterThan(3); // three attempts, and then the polls
  await expect(page.getByTestId("problem")).toHaveCount(1); // the lists report no second problem
  await expectListed(page); // the loaded list stays visible
  stack.launch("gateway");
  await stack.ready();
  await expectLive(page);
  const downloading = page.waitForEvent("download");
  await page.getByTestId("export-button").click();
  await downloading;
});
