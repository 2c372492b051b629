import { describe, expect, it } from "vitest";
import { paramsOf, toParams } from "../src/form/params.js";

describe("the parameter form", () => {
  it("reads the schema that exporters declare", () => {
    const params = paramsOf({
      type: "object",
      properties: {
        muscles: { type: "array", items: { type: "string" }, minItems: 1, maxItems: 5, description: "names" },
        limit: { type: "integer", default: 3 },
        side: { enum: ["left", "right"] },
        strict: { type: "boolean" },
        note: { type: ["string", "null"] },
      },
      required: ["muscles"],
    });
    expect(params.map(({ name, kind, required }) => [name, kind, required])).toEqual([
      ["muscles", "list", true],
      ["limit", "integer", false],
      ["side", "choice", false],
      ["strict", "boolean", false],
      ["note", "text", false],
    ]);
    expect(params[0]).toMatchObject({ maxItems: 5, description: "names" });
    expect(params[1]?.initial).toBe(3);
  });

  it("leaves out empty values", () => {
    expect(toParams({ muscles: ["a"], note: "", side: undefined, none: [] })).toEqual({ muscles: ["a"] });
    expect(toParams({ note: "" })).toBeUndefined();
    expect(toParams({ strict: false })).toEqual({ strict: false });
  });
});
