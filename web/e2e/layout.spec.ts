import { expect, type Page } from "@playwright/test";
import { Stack } from "../stack/stack.js";
import { addFilter, readCsv, savedBytes, signIn, startExport } from "./pageActions.js";
import { testWithStack } from "./stackTest.js";

/** One column of every type that the form supports, and so many datasets that the page offers a search. */
const CATALOG = `
[[dataset]]
name = "types"
title = "Types"
files = "types.csv"
${["string", "int", "float", "decimal", "bool", "date", "datetime", "time"]
  .map((type) => `[[dataset.column]]\nname = "a_${type}"\ntype = "${type}"\n`)
  .join("")}
${Array.from({ length: 20 }, (_, index) => invoices(2001 + index)).join("")}`;

function invoices(year: number): string {
  return `
[[dataset]]
name = "invoices_${year}"
title = "Invoices of ${year}"
description = "What customers owed in that year"
files = "types.csv"
`;
}

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
      await page.getByTestId("columns-tab").click();
      expect(await scrollsSideways(page), "columns").toBe(false);
      await page.getByTestId("theme").click(); // every control of the wide layout exists on a phone too
      await page.getByTestId("history-link").click();
      await expect(page.getByTestId("history-count")).toBeVisible();
      expect(await scrollsSideways(page)).toBe(false);
    });
  });
}

test("a search finds datasets by words, says how many, and leads to them by keyboard", async ({ page }) => {
  await signIn(page, "alice");
  const all = await page.getByRole("radio").count();
  expect(all).toBeGreaterThan(20);
  const search = page.getByRole("searchbox", { name: "Search datasets" });
  const count = page.getByRole("status").filter({ hasText: /datasets?/i });
  await search.fill("OWED 201");
  await expect(page.getByRole("radio")).toHaveCount(10);
  await expect(count).toHaveText(`10 of ${all} datasets`);
  await search.press("Tab");
  await expect(page.getByTestId("dataset-invoices_2010")).toBeFocused();
  await page.keyboard.press("ArrowDown");
  await expect(page.getByTestId("dataset-invoices_2011")).toBeFocused();
  await expect(page.getByRole("heading", { name: "Invoices of 2011" })).toBeVisible();
  await search.fill("invoices_2001 flights");
  await expect(count).toHaveText("No dataset matches these words.");
  await search.fill("");
  await expect(page.getByRole("radio")).toHaveCount(all);
});

test("columns are chosen and moved by keyboard, and the file has them in that order", async ({
  page,
  stack,
}) => {
  stack.grant("alice", "acme", 5);
  await signIn(page, "alice");
  await page.getByTestId("dataset-types").click();
  for (const name of ["CSV (.csv)", "Excel workbook (.xlsx)", "Excel workbooks in a ZIP"]) {
    await expect(page.getByTestId("format").getByText(name, { exact: true })).toHaveCount(1);
  }
  await expect(page.getByTestId("template").locator("option")).toHaveText([
    "Default: with both timestamps as comment lines",
    "Plain: for loading by programs",
    "Spreadsheet: for opening in a spreadsheet",
  ]);
  await page.getByTestId("columns-tab").click();
  await page.getByTestId("column-a_int").uncheck();
  const up = page.getByRole("button", { name: "Move a_float up" });
  await up.press("Enter"); // past a_int too, which the file does not have
  await expect(up).toBeFocused();
  await expect(page.getByText("a_float is now column 1 of 7")).toBeAttached();
  await expect(up).toHaveAttribute("aria-disabled", "true");
  await up.press("Enter"); // the first column stays
  const down = page.getByRole("button", { name: "Move a_string down" });
  await down.press("Enter");
  await expect(down).toBeFocused();
  const order = ["a_float", "a_decimal", "a_string", "a_bool", "a_date", "a_datetime", "a_time"];
  await page.getByRole("tab", { name: "First rows" }).click();
  await expect(page.getByTestId("preview").locator("thead th")).toHaveText(order);
  const downloading = page.waitForEvent("download");
  const row = await startExport(page);
  const { header, data } = readCsv(await savedBytes(await downloading));
  expect(header).toEqual(order);
  expect(data).toEqual([["1.5", "1.50", "x", "true", "2026-01-02", "2026-01-02T03:04:05", "03:04:05"]]);
  await expect(row.getByTestId("save-status")).toHaveText(
    "Checked, and handed to your browser. Not in your downloads? Press Save again.",
  );
  await expect(row.getByRole("button", { name: "Save again" })).toBeVisible();
});
