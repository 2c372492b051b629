import { SERVER_SLUGS } from "@sluice/client";
import { describe, expect, it } from "vitest";
import { describeRequest } from "../src/exports/describeRequest.js";
import { problemText, strings } from "../src/strings.js";

describe("texts", () => {
  it("exist for every problem, with a next step", () => {
    for (const slug of SERVER_SLUGS) {
      expect(problemText(slug).title.length).toBeGreaterThan(0);
      expect(problemText(slug).next).toMatch(/\.$/);
    }
  });

  it("use the singular for one", () => {
    expect(strings.history.found(1, 1, false)).toBe("1 of 1 export");
    expect(strings.history.found(1, 2, true)).toBe("1 of 2 loaded exports");
    expect(strings.history.chart(1, 14)).toBe("1 export in the last 14 days");
    expect(strings.exports.queued(1)).toBe("1 export ahead in the queue");
    expect(strings.datasets.rows(1)).toBe("about 1 row");
  });

  it("name formats as people do, and unknown ones by their own name", () => {
    expect(strings.form.formatName("xlsx")).toBe("Excel workbook (.xlsx)");
    expect(strings.form.formatName("arrow")).toBe("Arrow (.arrows)");
    expect(strings.form.formatName("orc")).toBe("orc");
  });

  it("describe the parameters and the filter of a request", () => {
    expect(describeRequest({ params: {}, filter: {} })).toBe("");
    expect(
      describeRequest({
        params: { muscles: ["a"] },
        filter: { origin: { eq: "SEA" }, or: [{ delay: { gt: 5 } }, { not: { delay: { is_null: true } } }] },
      }),
    ).toBe("muscles: a · origin is SEA · delay more than 5 or not (delay has no value)");
    const named = { not: { eq: 1 }, and: { gt: 2 }, or: [{ not: { not: { lt: 3 } } }] };
    expect(describeRequest({ params: {}, filter: named })).toBe(
      "not is 1 · and more than 2 · not (not less than 3)",
    );
  });
});
