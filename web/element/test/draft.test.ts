import type { Dataset } from "@sluice/client";
import { expect, it } from "vitest";
import { type Draft, initialDraft, isUnfinished, ownFilterPointer, requestOf } from "../src/dialog/draft.js";
import { estimateText } from "../src/dialog/estimateBar.js";
import { Texts } from "../src/strings/texts.js";

const column = (name: string, type = "string") => ({ name, type, nullable: true });
const dataset = {
  name: "orders",
  columns: [column("id", "int"), column("status"), column("total", "decimal")],
  templates: [
    { name: "default", title: "" },
    { name: "short", title: "", columns: [column("id", "int")] },
  ],
  formats: ["csv", "xlsx"],
  compressions: ["none", "gzip"],
  formats_info: [
    { name: "csv", compressions: ["none", "gzip"] },
    { name: "xlsx", compressions: ["none"] },
  ],
} as unknown as Dataset;
const row = { key: 1, column: "status", operator: "eq" as const, values: ["paid"] };

it("an unchanged dialog requests what the page requests", () => {
  for (const base of [
    { dataset: "orders", format: "csv" },
    { dataset: "orders", format: "xlsx", columns: ["total", "id"], params: { year: 1 }, time_zone: "UTC" },
    { dataset: "orders", format: "csv", template: "short", filter: { id: { gt: 5 } } },
  ]) {
    expect(requestOf(dataset, base, initialDraft(dataset, base))).toEqual(base);
  }
});

it("the user's filter applies in addition to the page's", () => {
  const base = { dataset: "orders", filter: { id: { gt: 5 } } };
  const draft: Draft = { ...initialDraft(dataset, base), rows: [row] };
  expect(requestOf(dataset, base, draft).filter).toEqual({
    and: [{ id: { gt: 5 } }, { status: { eq: "paid" } }],
  });
  expect(requestOf(dataset, { dataset: "orders" }, draft).filter).toEqual({ status: { eq: "paid" } });
});

it("chosen columns keep their order, and a format without the compression drops it", () => {
  const base = { dataset: "orders", columns: ["total", "id"], compression: "gzip" };
  const choices = ["total", "id", "status"].map((name) => ({ name, chosen: true }));
  const draft: Draft = { ...initialDraft(dataset, base), columns: choices };
  expect(requestOf(dataset, base, draft)).toMatchObject({
    columns: ["total", "id", "status"],
    compression: "gzip",
  });
  expect(requestOf(dataset, base, { ...draft, format: "xlsx" })).not.toHaveProperty("compression");
});

it("missing values and columns stop the export", () => {
  const draft = initialDraft(dataset, { dataset: "orders" });
  expect(isUnfinished(draft)).toBe(false);
  expect(isUnfinished({ ...draft, rows: [{ ...row, values: [" "] }] })).toBe(true);
  expect(
    isUnfinished({ ...draft, columns: draft.columns.map(({ name }) => ({ name, chosen: false })) }),
  ).toBe(true);
});

it("an error of the server is matched to the user's own filter", () => {
  expect(ownFilterPointer("/filter/status/eq", false)).toBe("/filter/status/eq");
  expect(ownFilterPointer("/filter/and/1/status/eq", true)).toBe("/filter/status/eq");
  expect(ownFilterPointer("/filter/and/0/id/gt", true)).toBeUndefined();
  expect(ownFilterPointer("/columns/0", false)).toBeUndefined();
});

it("an estimate is one line of what is known", () => {
  const texts = new Texts("en");
  const nothing = { preview: [], credits: 1, exact: false, rows: null, bytes: null, seconds: null };
  expect(estimateText({ ...nothing, rows: 1_200, bytes: 34_000, seconds: 2.4 }, texts)).toBe(
    "About 1,200 rows · 34 kB · 2 sec",
  );
  expect(estimateText({ ...nothing, rows: 0, exact: true }, texts)).toBe("0 rows");
  expect(estimateText(nothing, texts)).toBe("Size not known");
});
