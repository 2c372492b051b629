import { expect, it } from "vitest";
import { type GatewayInput, type RequestInput, toGatewayUrl, toRequest } from "../src/request.js";

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

const gateway: GatewayInput = {
  baseUrl: "https://exports.example.com",
  setByScript: false,
  pageUrl: "https://shop.example.org/orders",
  scriptBase: "https://exports.example.com/",
};

it("markup names no other gateway than the script's own, and a script may", () => {
  expect(toGatewayUrl(gateway)).toBe("https://exports.example.com/");
  const other = { ...gateway, baseUrl: "https://evil.example" };
  for (const refused of [
    other,
    { ...gateway, scriptBase: undefined },
    { ...other, baseUrl: "//evil.example" },
  ]) {
    expect(() => toGatewayUrl(refused)).toThrow(expect.objectContaining({ attribute: "base-url" }));
    expect(toGatewayUrl({ ...refused, setByScript: true })).toMatch(/^https:/);
  }
});

it("an address of another kind is no gateway", () => {
  for (const baseUrl of ["", "::::", "ftp://x", "javascript:alert(1)", "https://"]) {
    const input = { ...gateway, baseUrl, setByScript: true };
    expect(() => toGatewayUrl(input), baseUrl).toThrow(expect.objectContaining({ attribute: "base-url" }));
  }
  expect(toGatewayUrl({ ...gateway, baseUrl: "/sluice", setByScript: true })).toBe(
    "https://shop.example.org/sluice",
  );
});
