import { expect } from "@playwright/test";
import { Stack } from "../stack/stack.js";
import { expectLive } from "./pageActions.js";
import { testWithStack } from "./stackTest.js";

const test = testWithStack(() =>
  Stack.start({ name: "sign-in link stack", env: { SLUICE_GATEWAY__IDENTITY__LOCAL__SIGN_IN: "link" } }),
);

/** Returns a new link for this address of the gateway. */
function signInLink(stack: Stack): string {
  return stack.url + new URL(stack.sluice(["sign-in-link"]).trim()).hash;
}

test("a link signs one browser in, once, until the gateway restarts", async ({ page, browser, stack }) => {
  await page.goto(stack.url);
  await expect(page.getByTestId("sign-in-link-required")).toContainText("Open your sign-in link");
  await expect(page.getByTestId("sign-in-alice")).toHaveCount(0);

  const link = signInLink(stack);
  const tab = await page.context().newPage();
  await tab.goto(link);
  await tab.getByTestId("sign-in-alice").click();
  await expectLive(tab);
  expect(tab.url()).not.toContain("sign-in=");

  // another tab of the browser needs no link, and another browser can't use the same one
  await page.reload();
  await expect(page.getByTestId("sign-in-bob")).toBeVisible();
  const other = await browser.newPage();
  await other.goto(link);
  await expect(other.getByTestId("sign-in-link-required")).toContainText("used or has expired");
  await other.close();

  await stack.kill("gateway");
  stack.launch("gateway");
  await stack.ready();
  await page.getByTestId("sign-in-bob").click();
  await expect(page.getByTestId("sign-in-link-required")).toBeVisible();
});
