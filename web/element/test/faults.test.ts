import { SluiceError } from "@sluice/client";
import { expect, it } from "vitest";
import { reportOf } from "../src/faults.js";
import { TokenError } from "../src/token.js";

const context = { gateway: "https://exports.example.com/", origin: "https://shop.example.org" };

it.each([
  [
    "an origin that the gateway does not know",
    { slug: "network", title: "The server could not be reached", detail: "Failed to fetch" },
    ["(network)", "gateway.allowed_origins lacks https://shop.example.org"],
  ],
  [
    "an address that is no gateway",
    { slug: "not-found", title: "Not Found", status: 404 },
    ["(not-found, 404)", "Is https://exports.example.com/ (base-url) the address of a Sluice gateway?"],
  ],
  [
    "the invalid fields and the trace",
    {
      slug: "invalid-filter",
      title: "Invalid filter",
      status: 422,
      errors: [{ pointer: "/filter/nope", detail: "no such column" }],
      traceId: "4bf9",
    },
    ["/filter/nope: no such column", "trace_id: 4bf9"],
  ],
] as const)("the console names %s", (_, init, parts) => {
  const report = reportOf(new SluiceError(init), context);
  expect(report).toMatch(/^<sluice-export>: /);
  for (const part of parts) {
    expect(report).toContain(part);
  }
});

it("the console never gets a token", () => {
  const detail = "Headers.append: Bearer a.b\nc is refused; eyJhbGciOi.eyJzdWIi.c2ln too";
  const report = reportOf(new SluiceError({ slug: "network", title: "x", detail }), context);
  expect(report).not.toMatch(/a\.b|eyJ|c2ln/);
});

it("a failure of the page's own server does not blame the gateway", () => {
  for (const init of [{ slug: "network" }, { slug: "not-found", status: 404 }] as const) {
    const report = reportOf(new TokenError("endpoint", "token-url has failed", init), context);
    expect(report).toContain("token-url has failed");
    expect(report).not.toMatch(/allowed_origins|base-url/);
  }
});

it("a problem of a gateway is no foreign answer", () => {
  const error = new SluiceError({ slug: "not-found", title: "x", status: 404, traceId: "4bf9" });
  expect(reportOf(error, context)).not.toContain("base-url");
});
