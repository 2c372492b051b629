import AxeBuilder from "@axe-core/playwright";
import { expect, test } from "@playwright/test";
import { signIn } from "./pageActions.js";

test("an API key is created, shown once, used and deleted", async ({ page, request, context }) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"]);
  await signIn(page, "carol");
  const open = async () => {
    await page.getByTestId("account-menu").click();
    await page.getByTestId("keys-open").click();
    await expect(page.getByTestId("keys-panel")).toBeVisible();
  };
  await open();
  await page.getByTestId("key-name").fill("nightly report");
  await page.getByTestId("key-scopes").fill("export:flights");
  await page.getByTestId("key-scopes").press("Tab"); // also closes the list of scopes
  await page.getByTestId("key-lifetime").selectOption("30");
  await page.getByTestId("key-create").click();
  const secret = (await page.getByTestId("key-secret").textContent()) ?? "";
  expect(secret).toMatch(/^slk_[0-9a-f]{72}$/);
  await page.getByTestId("key-copy").click();
  expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(secret);
  const row = page.getByTestId("key-row").filter({ hasText: "nightly report" });
  await expect(row).toContainText("export:flights");
  const { violations } = await new AxeBuilder({ page }).include('[data-testid="keys-panel"]').analyze();
  expect(violations.filter(({ impact }) => impact === "serious" || impact === "critical")).toEqual([]);

  const use = async () =>
    (await request.get("/v1/datasets", { headers: { authorization: `Bearer ${secret}` } })).status();
  expect(await use()).toBe(200);

  // closed and opened again, the panel shows the key, but not its secret
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("keys-panel")).toHaveCount(0);
  await open();
  await expect(row).toBeVisible();
  await expect(page.getByText(secret)).toHaveCount(0);

  await row.getByTestId("key-delete").click();
  expect(await use()).toBe(200);
  await row.getByTestId("key-delete-confirm").click();
  await expect(row).toHaveCount(0);
  expect(await use()).toBe(401);
});
