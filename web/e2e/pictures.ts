import { mkdir, stat } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { expect, type Page, test } from "@playwright/test";
import { addFilter, expectStatus, signIn, startExport } from "./page.js";

// Pictures for the documentation; run only with SLUICE_SCREENSHOTS=1.

const IMAGES = fileURLToPath(new URL("../../docs/images/", import.meta.url));
const MAX_IMAGE_BYTES = 300_000;

test("sign-in and main page", async ({ page }) => {
  await mkdir(IMAGES, { recursive: true });
  await page.goto("/");
  await expect(page.getByTestId("sign-in-alice")).toBeVisible();
  await picture(page, "sign-in.png");

  await signIn(page, "alice");
  await page.getByTestId("dataset-flights").click();
  await addFilter(page, "origin", "eq", "SEA");
  await expectStatus(await startExport(page), "completed");
  await page.getByTestId("filter-value").fill("JFK");
  await page.getByTestId("filter-op").selectOption("ne");
  const running = await startExport(page);
  await expect(running.getByTestId("export-status")).toHaveAttribute("data-status", "running");
  await page.evaluate(() => window.scrollTo(0, 0));
  await picture(page, "main.png");
  await running.getByTestId("cancel-button").click();
  await expectStatus(running, "canceled");
});

async function picture(page: Page, name: string): Promise<void> {
  const path = `${IMAGES}${name}`;
  await page.screenshot({ path, animations: "disabled" });
  expect((await stat(path)).size).toBeLessThan(MAX_IMAGE_BYTES);
}
