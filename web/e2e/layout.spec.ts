import { expect, type Page } from "@playwright/test";
import { Stack } from "../stack/stack.js";
import { addFilter, signIn } from "./pageActions.js";
import { testWithStack } from "./stackTest.js";

/** One column of every type that the form supports. */
const CATALOG = `
[[dataset]]
name = "types"
title = "Types"
files = "types.csv"
${["string", "int", "float", "decimal", "bool", "date", "datetime", "time"]
  .map((type) => `[[dataset.column]]\nname = "a_${type}"\ntype = "${type}"\n`)
  .join("")}`;

const test = testWithStack(() =>
  Stack.start({
    name: "layout stack",
    catalog: CATALOG,
    files: {
      "types.csv":
        "a_string,a_int,a_float,a_decimal,a_bool,a_date,a_datetime,a_time\nx,1,1.5,1.50,true,2026-01-02,2026-01-02T03:04:05,03:04:05\n",
    },
  }),
);

async function scrollsSideways(page: Page): Promise<boolean> {
  return page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
}

for (const width of [320, 390]) {
  test.describe(`on a phone of ${width} points`, () => {
    test.use({ viewport: { width, height: 844 }, hasTouch: true });

    test("nothing scrolls sideways, with any filter", async ({ page }) => {
      await page.goto("/");
      await expect(page.getByTestId("sign-in-alice")).toBeVisible();
      expect(await scrollsSideways(page)).toBe(false);
      await signIn(page, "alice");
      await page.getByTestId("dataset-types").click();
      await addFilter(page, "a_string", "in", "SEA");
      const columns = page.getByTestId("filter-column").locator("option");
      const names = await columns.evaluateAll((all) =>
        all.map((option) => option.getAttribute("value") ?? ""),
      );
      expect(names).toHaveLength(8);
      let tried = 0;
      for (const name of names) {
        await page.getByTestId("filter-column").selectOption(name);
        const operators = page.getByTestId("filter-op").locator("option");
        for (const operator of await operators.evaluateAll((all) =>
          all.map((one) => one.getAttribute("value")),
        )) {
          await page.getByTestId("filter-op").selectOption(operator);
          expect(await scrollsSideways(page), `${name} ${operator}`).toBe(false);
          tried += 1;
        }
      }
      expect(tried).toBeGreaterThan(60);
      await page.getByTestId("theme").click(); // every control of the wide layout exists on a phone too
      await page.getByTestId("history-link").click();
      await expect(page.getByTestId("history-count")).toBeVisible();
      expect(await scrollsSideways(page)).toBe(false);
    });
  });
}
