import { expect, it } from "vitest";
import { type RequestInput, toRequest } from "../src/request.js";

const nothing: RequestInput = {
  dataset: "orders",
  filter: null,
  columns: null,
  params: null,
  format: null,
  template: null,
  compression: null,
  timeZone: null,
};

it("attributes and properties give the same request", () => {
  const request = {
    dataset: "orders",
    format: "xlsx",
    filter: { status: { eq: "paid" } },
    columns: ["id", "total"],
    params: { year: 2026 },
    time_zone: "Europe/Berlin",
  };
  const { filter, columns, params, format, time_zone: timeZone } = request;
  const texts = { filter: JSON.stringify(filter), columns: " id, total ,", params: JSON.stringify(params) };
  expect(toRequest({ ...nothing, ...texts, format, timeZone })).toEqual(request);
  expect(toRequest({ ...nothing, filter, columns, params, format, timeZone })).toEqual(request);
  expect(toRequest({ ...nothing, columns: '["a, b"]' }).columns).toEqual(["a, b"]);
});

it("what is absent or empty is left out", () => {
  expect(toRequest(nothing)).toEqual({ dataset: "orders" });
  expect(toRequest({ ...nothing, filter: "{}", columns: "", params: {} })).toEqual({ dataset: "orders" });
});

it("a value of another shape names its attribute", () => {
  for (const [input, attribute] of [
    [{ dataset: "" }, "dataset"],
    [{ filter: "status=paid" }, "filter"],
    [{ filter: "[1]" }, "filter"],
    [{ columns: "[1]" }, "columns"],
    [{ params: "null" }, "params"],
  ] as const) {
    expect(() => toRequest({ ...nothing, ...input })).toThrow(expect.objectContaining({ attribute }));
  }
});
