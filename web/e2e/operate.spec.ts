import AxeBuilder from "@axe-core/playwright";
import { expect, type Page, test } from "@playwright/test";
import { addFilter, signIn, startExport, tokenOf } from "./pageActions.js";

/** Opens a second window of another user. */
async function asUser(page: Page, person: string): Promise<Page> {
  const browser = page.context().browser();
  const context = await browser?.newContext(await contextOptions(page));
  const other = await context?.newPage();
  if (!other) {
    throw new Error("no browser");
  }
  await signIn(other, person);
  return other;
}

/** A new context of the same browser key and address. */
async function contextOptions(page: Page) {
  return { storageState: await page.context().storageState(), baseURL: new URL(page.url()).origin };
}

async function expectNoSeriousViolation(page: Page): Promise<void> {
  const { violations } = await new AxeBuilder({ page }).analyze();
  expect(violations.filter(({ impact }) => impact === "serious" || impact === "critical")).toEqual([]);
}

test("an operator pauses a person, sees the queue live, and reads the story of an export", async ({
  page,
  request,
}) => {
  test.setTimeout(180_000);
  await signIn(page, "alice");
  const bob = await asUser(page, "bob");
  await expect(bob.getByTestId("operate-link")).toHaveCount(0);
  const refused = await request.get("/v1/operate/overview", {
    headers: { authorization: `Bearer ${await tokenOf(request, "bob")}` },
  });
  expect(refused.status()).toBe(403);
  await bob.goto("/operate");
  await expect(bob.getByTestId("operate-forbidden")).toBeVisible();
  await expect(bob.getByTestId("total-running")).toHaveCount(0);

  await page.getByTestId("operate-link").click();
  await expect(page.getByTestId("total-running")).toBeVisible();
  await page.getByTestId("pause-open").click();
  await page.getByTestId("reason-submit").click();
  await expect(page.getByText("Say why")).toBeVisible();
  await page.getByTestId("pause-tenant").fill("acme");
  await page.getByTestId("pause-user").fill("bob");
  await page.getByTestId("reason").fill("tries the queue");
  await expectNoSeriousViolation(page);
  await page.getByTestId("reason-submit").click();
  const pause = page.getByTestId("pause-row").filter({ hasText: "bob of acme" });
  await expect(pause).toContainText("tries the queue");

  await bob.goto("/datasets/flights");
  await addFilter(bob, "origin", "in", "SEA");
  await bob.keyboard.press("Enter");
  await bob.getByTestId("format").focus();
  const row = await startExport(bob);
  await expect(row.getByTestId("export-status-line")).toContainText("Paused by an operator");
  await expect(page.getByTestId("total-paused")).toHaveAttribute("data-value", "1");
  await expect(page.getByTestId("queue")).toContainText("bob of acme");

  await page.getByTestId("find-text").fill("LIGHT");
  await page.getByTestId("find-status").selectOption("queued");
  await expect(page.getByTestId("find-count")).toContainText("1 export");
  await expectNoSeriousViolation(page);
  if (process.env.SLUICE_OPERATE_SCREENSHOT) {
    await page.screenshot({ path: process.env.SLUICE_OPERATE_SCREENSHOT, fullPage: true });
  }
  await page.getByTestId("found-export").click();
  await expect(page.getByTestId("story-status")).toHaveAttribute("data-status", "queued");
  await expect(page.getByTestId("facts")).toContainText("tries the queue");
  await expect(page.getByTestId("facts")).not.toContainText("SEA");

  await page.goBack();
  await page.getByTestId("resume-open").click();
  await page.getByTestId("reason").fill("tried");
  await page.getByTestId("reason-submit").click();
  await expect(pause).toHaveCount(0);
  await expect(row.getByTestId("export-status")).toHaveAttribute("data-status", "completed", {
    timeout: 60_000,
  });
  await expect(page.getByTestId("acts")).toContainText("Resumed bob of acme");

  await page.goto(`/operate/exports/${await row.getAttribute("data-export-id")}`);
  await expect(page.getByTestId("story-status")).toHaveAttribute("data-status", "completed");
  await expect(page.locator('[data-kind="completed"]')).toBeVisible();
  await expect(page.getByTestId("attempts")).toContainText("Completed");
  await expectNoSeriousViolation(page);
  if (process.env.SLUICE_OPERATE_SCREENSHOT) {
    const path = process.env.SLUICE_OPERATE_SCREENSHOT.replace(/\.png$/, "-story.png");
    await page.screenshot({ path, fullPage: true });
  }
  await bob.context().close();
});
