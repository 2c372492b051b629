import { MantineProvider } from "@mantine/core";
import { createElement } from "react";
import { renderToStaticMarkup } from "react-dom/server";
import { expect, it } from "vitest";
import { NoDatasets } from "../src/datasets/NoDatasets.js";

it("an installation without datasets shows the next step", () => {
  const html = renderToStaticMarkup(createElement(MantineProvider, null, createElement(NoDatasets)));
  expect(html).toContain("No datasets yet");
  expect(html).toContain("Ask your administrator for access to a dataset.");
  expect(html).toContain("docs/catalog.md");
});
