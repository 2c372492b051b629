import type { Dataset, Export } from "@sluice/client";
import { compressionsOf, moveColumn } from "@sluice/client/form";
import { describe, expect, it } from "vitest";
import { emptyDraft, requestOf, toRequest, withFormat, withTemplate } from "../src/form/request.js";

it("an export is repeated with the same request", () => {
  const item = {
    id: "0199-abc",
    dataset: "flights",
    template: "default",
    format: "csv",
    compression: "none",
    columns: ["date"],
    filter: { origin: { eq: "SEA" } },
    params: {},
  } as unknown as Export;
  expect(requestOf(item)).toEqual({
    dataset: "flights",
    template: "default",
    format: "csv",
    columns: ["date"],
    filter: { origin: { eq: "SEA" } },
  });
});

describe("formats", () => {
  const dataset = {
    name: "flights",
    columns: [],
    formats: ["csv", "xlsx"],
    compressions: ["none", "gzip"],
    formats_info: [
      { name: "csv", compressions: ["none", "gzip"] },
      { name: "xlsx", compressions: ["none"] },
    ],
    templates: [{ name: "default", title: "Default" }],
  } as unknown as Dataset;

  it("have their own compressions, and an unsupported choice is replaced", () => {
    expect(compressionsOf(dataset, "csv")).toEqual(["none", "gzip"]);
    const zipped = { ...emptyDraft(dataset), compression: "gzip" };
    expect(withFormat(dataset, zipped, "xlsx")).toMatchObject({ format: "xlsx", compression: "none" });
    expect(withFormat(dataset, zipped, "csv").compression).toBe("gzip");
  });

  it("of an older gateway have the compressions of the dataset", () => {
    expect(compressionsOf({ ...dataset, formats_info: undefined } as unknown as Dataset, "xlsx")).toEqual([
      "none",
      "gzip",
    ]);
  });
});

describe("columns", () => {
  const column = (name: string) => ({ name, type: "string", nullable: false });
  const dataset = {
    name: "flights",
    columns: [column("date"), column("delay"), column("origin")],
    params: {},
    formats: ["csv"],
    compressions: ["none"],
    templates: [
      { name: "default", title: "" },
      { name: "plain", title: "" },
      { name: "finance", title: "", columns: [column("total"), column("date")] },
    ],
  } as unknown as Dataset;
  const moved = { ...emptyDraft(dataset), columns: moveColumn(emptyDraft(dataset).columns, "origin", -1) };

  it("are requested in the order that the user gave them", () => {
    expect(toRequest(dataset, emptyDraft(dataset))).not.toHaveProperty("columns");
    expect(toRequest(dataset, moved)?.columns).toEqual(["date", "origin", "delay"]);
  });

  it("stay with a template of the same columns, and are those of a template with its own", () => {
    expect(toRequest(dataset, withTemplate(dataset, moved, "plain"))).toMatchObject({
      template: "plain",
      columns: ["date", "origin", "delay"],
    });
    const finance = withTemplate(dataset, moved, "finance");
    expect(toRequest(dataset, finance)).not.toHaveProperty("columns");
    expect(finance.columns.map(({ name }) => name)).toEqual(["total", "date"]);
  });
});
