import { expect, it } from "vitest";
import { templateLabel } from "../src/form/templateLabel.js";

it("the built-in templates say what they are for, and others show their title", () => {
  const plain = { name: "plain", title: "For programs: the table alone" };
  expect(templateLabel(plain, "csv")).toBe("Plain: for loading by programs");
  expect(templateLabel({ name: "finance", title: "For the finance team" }, "csv")).toBe(
    "For the finance team",
  );
  expect(templateLabel({ name: "plain", title: "Our own" }, "csv")).toBe("Our own");
  expect(templateLabel({ name: "constructor", title: "Odd" }, "csv")).toBe("Odd");
});

it("timestamps are said to be comment lines only where a format has these", () => {
  const label = (format: string) =>
    templateLabel({ name: "default", title: "All columns as they are" }, format);
  expect(label("tsv")).toBe("Default: with both timestamps as comment lines");
  expect(label("xlsx")).toBe("Default: with both timestamps beside the table");
});
