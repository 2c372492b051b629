import type { Dataset, Export } from "@sluice/client";
import { compressionsOf } from "@sluice/client/form";
import { describe, expect, it } from "vitest";
import { emptyDraft, requestOf, withFormat } from "../src/form/request.js";

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
