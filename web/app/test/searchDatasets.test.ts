import type { Dataset } from "@sluice/client";
import { expect, it } from "vitest";
import { searchDatasets } from "../src/datasets/searchDatasets.js";

const datasets = [
  { name: "fct_orders", title: "Orders", description: "One row for each order of the shop" },
  { name: "dim_customers", title: "Customers", description: "Names and addresses" },
  { name: "returns", title: "Returned goods", description: "Orders that came back" },
] as Dataset[];
const found = (search: string) => searchDatasets(datasets, search).map(({ name }) => name);

it("datasets are found by title, name and description, in upper or lower case", () => {
  expect(found("ORDERS")).toEqual(["fct_orders", "returns"]);
  expect(found("dim_")).toEqual(["dim_customers"]);
  expect(found("addresses")).toEqual(["dim_customers"]);
});

it("each word of a search may be in another place", () => {
  expect(found("shop fct orders")).toEqual(["fct_orders"]);
  expect(found("shop customers")).toEqual([]);
  expect(found("")).toHaveLength(3);
});
