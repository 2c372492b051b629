import { SERVER_SLUGS } from "@sluice/client";
import { describe, expect, it } from "vitest";
import { describeRequest } from "../src/exports/describeRequest.js";
import { problemTexts } from "../src/strings.js";

describe("texts", () => {
  it("exist for every problem, with a next step", () => {
    for (const slug of SERVER_SLUGS) {
      expect(problemTexts[slug].title.length).toBeGreaterThan(0);
      expect(problemTexts[slug].next).toMatch(/\.$/);
    }
  });

  it("describe the parameters and the filter of a request", () => {
    expect(describeRequest({ params: {}, filter: {} })).toBe("");
    expect(
      describeRequest({
        params: { muscles: ["a"] },
        filter: { origin: { eq: "SEA" }, or: [{ delay: { gt: 5 } }, { not: { delay: { is_null: true } } }] },
      }),
    ).toBe("muscles: a · origin is SEA · delay more than 5 or not (delay has no value)");
  });
});
