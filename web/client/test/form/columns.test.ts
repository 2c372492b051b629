import { expect, it } from "vitest";
import {
  chosenNames,
  columnChoices,
  columnsOf,
  moveColumn,
  requestedColumns,
} from "../../src/form/columns.js";
import type { Column, Dataset } from "../../src/protocol.js";

const column = (name: string): Column => ({ name, type: "string", nullable: false });
const columns = ["a", "b", "c", "d"].map(column);
const withoutB = columnChoices(columns, ["a", "c", "d"]);

it("a column moves past its chosen neighbor, and past what is not chosen between them", () => {
  const inOrder = columns.map(({ name }) => ({ name, chosen: name !== "b" }));
  expect(moveColumn(inOrder, "c", -1).map(({ name }) => name)).toEqual(["c", "a", "b", "d"]);
  expect(moveColumn(inOrder, "a", 1).map(({ name }) => name)).toEqual(["b", "c", "a", "d"]);
});

it("a column stays at the end of the file, and one that is not chosen stays where it is", () => {
  expect(moveColumn(withoutB, "a", -1)).toEqual(withoutB);
  expect(moveColumn(withoutB, "d", 1)).toEqual(withoutB);
  expect(moveColumn(withoutB, "b", -1)).toEqual(withoutB);
});

it("the request has the columns in their order, or none when the file has all in their own order", () => {
  const all = columnChoices(columns, undefined);
  expect(requestedColumns(all, columns)).toBeUndefined();
  expect(requestedColumns(withoutB, columns)).toEqual(["a", "c", "d"]);
  const moved = moveColumn(all, "d", -1);
  expect(requestedColumns(moved, columns)).toEqual(["a", "b", "d", "c"]);
  expect(requestedColumns(moveColumn(moved, "d", 1), columns)).toBeUndefined();
});

it("named columns come first, without those that the template lacks", () => {
  const choices = columnChoices(columns, ["d", "gone", "a", "d"]);
  expect(chosenNames(choices)).toEqual(["d", "a"]);
  expect(choices.map(({ name }) => name)).toEqual(["d", "a", "b", "c"]);
});

it("a template with columns of its own offers those", () => {
  const own = [column("total")];
  const dataset = {
    columns,
    templates: [
      { name: "default", title: "" },
      { name: "finance", title: "", columns: own },
    ],
  } as unknown as Dataset;
  expect(columnsOf(dataset, "finance")).toBe(own);
  expect(columnsOf(dataset, undefined)).toBe(columns);
});
