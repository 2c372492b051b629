import { expect, type Page, test } from "@playwright/test";
import { addFilter, signIn } from "./page.js";

async function scrollsSideways(page: Page): Promise<boolean> {
  return page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
}

test.describe("on a phone", () => {
  test.use({ viewport: { width: 390, height: 844 }, hasTouch: true });

  test("nothing scrolls sideways", async ({ page }) => {
    await page.goto("/");
    await expect(page.getByTestId("sign-in-alice")).toBeVisible();
    expect(await scrollsSideways(page)).toBe(false);
    await signIn(page, "alice");
    await page.getByTestId("dataset-flights").click();
    await addFilter(page, "origin", "in", "SEA");
    await expect(page.getByTestId("export-button")).toBeVisible();
    expect(await scrollsSideways(page)).toBe(false);
  });
});
