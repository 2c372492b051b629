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

const test = testWithStack(() => Stack.start({ name: "the stack of the problems" }));

test("an export that is canceled elsewhere says so here, and gives its credit back", async ({
  page,
  stack,
}) => {
  await signIn(page, "alice");
  const before = await balanceOf(page);
  await page.getByTestId("format").selectOption("xlsx"); // which takes its time
  const row = await startExport(page);
  await stack.rest("DELETE", `/v1/exports/${await idOf(row)}`);
  await expectStatus(row, "canceled");
  await expect(row).toContainText("Canceled; the credit was given back");
  await expect(row.getByTestId("again-button")).toBeVisible();
  await expect(row.getByTestId("save-status")).toHaveCount(0);
  await expect.poll(() => balanceOf(page)).toBe(before);
});

test("a file that is gone says so, and can be made again", async ({ page, stack }) => {
  await signIn(page, "alice");
  await page.getByTestId("dataset-menus").click();
  const row = await startExport(page);
  const id = await idOf(row);
  await expect(row.getByTestId("save-status")).toHaveAttribute("data-phase", "saved");
  await stack.rest("DELETE", `/v1/exports/${id}`);
  await expectStatus(row, "expired");
  await expect(row).toContainText("The file was deleted after its time");
  await page.goto(`/exports/${id}`);
  const again = page.getByTestId("again-button");
  await expect(again).toBeVisible();
  const downloading = page.waitForEvent("download");
  await again.click();
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

test("what can't be read says so, and comes by itself as soon as it can", async ({ page }) => {
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
  await expectLive(page); // nothing is told any more that would have them asked for
  await page.unroute(pattern);
  await expect(page.getByTestId("credits-panel")).toBeVisible();
  await expect(page.getByTestId("credit-balance")).toBeVisible();
  await expect(page.getByTestId("credits-unknown")).toHaveCount(0);
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("credits-open")).toBeFocused(); // it is still what was pressed
});

test("a dataset that is not there is named, with what to do", async ({ page }) => {
  await signIn(page, "bob", "/datasets/no-such-one");
  const problem = page.getByTestId("problem");
  await expect(problem).toHaveAttribute("data-slug", "unknown-dataset");
  await expect(problem).toContainText("There is no dataset called “no-such-one”");
  await expect(problem).toContainText("Choose another one");
  await expect(page.getByTestId("export-button")).toHaveCount(0);
});

test("an export of somebody else, or of nobody, is not there", async ({ page }) => {
  await signIn(page, "bob", "/exports/01a20487-5b12-7407-a3eb-e3846ee38168");
  await expect(page.getByTestId("problem")).toContainText("There is no such export");
});

test("while the server is down the page says so, and goes on by itself", async ({ page, stack }) => {
  await signIn(page, "bob");
  await page.getByTestId("dataset-muscles").click();
  await expectListed(page);
  let unanswered = 0;
  page.on("requestfailed", (request) => {
    unanswered += Number(new URL(request.url()).pathname === "/v1/exports" && request.method() === "GET");
  });
  await stack.kill("gateway");
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "reconnecting");
  await page.getByTestId("export-button").click();
  const problem = formProblem(page);
  await expect(problem).toHaveAttribute("data-slug", "network");
  await expect(problem).toContainText("The server can't be reached");
  await expect(problem).toContainText("This page goes on when it is back.");
  await expect.poll(() => unanswered).toBeGreaterThan(3); // three tries, and what came of them
  await expect(page.getByTestId("problem")).toHaveCount(1); // nobody is told twice
  await expectListed(page); // and what is in sight stays
  stack.launch("gateway");
  await stack.ready();
  await expectLive(page);
  const downloading = page.waitForEvent("download");
  await page.getByTestId("export-button").click();
  await downloading;
});
