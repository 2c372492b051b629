import { mkdir, mkdtemp, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, type Page } from "@playwright/test";
import { damagedDataset, ORDERS } from "../stack/damagedDataset.js";
import { Stack } from "../stack/stack.js";
import { addFilter, expectReceived, expectStatus, signIn, startExport } from "./pageActions.js";
import { testWithStack } from "./stackTest.js";

// Screenshots for the documentation; run with SLUICE_SCREENSHOTS=1.

const IMAGES = fileURLToPath(new URL("../../docs/images/", import.meta.url));
const MAX_IMAGE_BYTES = 300_000;

const test = testWithStack(async () => {
  const datasets = await mkdtemp(join(tmpdir(), "sluice-screenshots-"));
  await damagedDataset(join(datasets, "orders.parquet"));
  const env = { SLUICE_EXPORTER__MAX_ATTEMPTS: "1" };
  const stack = await Stack.start({ name: "screenshot stack", datasets, catalog: ORDERS, env });
  stack.grant("alice", "acme", 12);
  return stack;
});

async function screenshot(page: Page, name: string): Promise<void> {
  await mkdir(IMAGES, { recursive: true });
  const path = `${IMAGES}${name}.png`;
  await page.evaluate(() => {
    window.scrollTo(0, 0);
    (document.activeElement as HTMLElement | null)?.blur();
  });
  await page.mouse.move(640, 400);
  await page.screenshot({ path, animations: "disabled" });
  expect((await stat(path)).size).toBeLessThan(MAX_IMAGE_BYTES);
}

test("the main states of the page", async ({ page, stack }) => {
  test.setTimeout(300_000);
  await page.goto("/");
  await expect(page.getByTestId("sign-in-alice")).toBeVisible();
  await screenshot(page, "sign-in");
  await signIn(page, "alice");
  await page.getByTestId("dataset-flights").click();
  await expect(page.getByTestId("preview")).toBeVisible();
  await screenshot(page, "empty");

  await addFilter(page, "origin", "in", "SEA");
  await page.keyboard.press("Enter");
  await page.getByTestId("format").focus();
  const done = await startExport(page);
  await expect(done.getByTestId("save-status")).toHaveAttribute("data-phase", "saved", { timeout: 60_000 });
  await expect(page.getByTestId("preview").locator("tbody tr")).toHaveCount(10);
  await screenshot(page, "done");

  await page.getByRole("button", { name: "Remove this filter" }).click();
  await expect(page.getByTestId("estimate")).toContainText("3,000,000");
  const running = await startExport(page);
  await expect(running.getByTestId("throughput")).toBeVisible();
  await expectReceived(running, 15_000_000);
  await stack.pause("exporter"); // until the screenshot is taken
  await screenshot(page, "main");
  await running.getByTestId("cancel-button").click();
  await expectStatus(running, "canceled");
  stack.resume("exporter");

  await page.getByTestId("dataset-orders").click();
  await expectStatus(await startExport(page), "failed");
  await page.getByTestId("dataset-flights").click();
  await addFilter(page, "delay", "gte", "very late");
  await page.getByTestId("export-button").click();
  await expect(page.getByTestId("problem").filter({ hasText: "The filter is not valid" })).toBeVisible();
  await screenshot(page, "failed");
  await page.getByRole("button", { name: "Remove this filter" }).click();
  await page.getByRole("button", { name: "Close" }).click();

  await page.getByTestId("credits-open").click();
  await expect(page.getByTestId("credit-entries")).toBeVisible();
  await screenshot(page, "credits");
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("credit-entries")).toBeHidden();

  const interrupted = await startExport(page);
  await expectReceived(interrupted, 8_000_000);
  await stack.kill("gateway");
  await expect(interrupted.getByTestId("save-status")).toHaveAttribute("data-phase", "waiting");
  await screenshot(page, "offline");
  stack.launch("gateway");
  await expect(interrupted.getByTestId("save-status")).toHaveAttribute("data-phase", "saved", {
    timeout: 60_000,
  });

  await page.getByTestId("history-link").click();
  await expect(page.getByTestId("history-count")).toBeVisible();
  await screenshot(page, "history");

  await page.goto("/datasets/flights");
  await page.emulateMedia({ colorScheme: "dark" });
  await expect(page.getByTestId("preview")).toBeVisible();
  await addFilter(page, "distance", "gt", "2000");
  await expect(page.getByTestId("preview").locator("tbody tr")).toHaveCount(10);
  await expect(page.getByTestId("estimate")).not.toContainText("3,000,000");
  const dark = await startExport(page);
  await expect(dark.getByTestId("export-progress")).toBeVisible();
  await screenshot(page, "dark");

  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 390, height: 844 });
  await expectStatus(dark, "completed");
  await screenshot(page, "phone");
});
