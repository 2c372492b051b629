import { createElement } from "react";
import { renderToString } from "react-dom/server";
import { expect, it } from "vitest";
import { type ExportControls, SluiceExport, useExport } from "../src/index.js";

const tokenProvider = () => "a secret token";

it("a server renders the element with its attributes and without a token", () => {
  const html = renderToString(
    createElement(
      SluiceExport,
      {
        dataset: "orders",
        baseUrl: "https://exports.example.com",
        format: "xlsx",
        dialog: true,
        tokenProvider,
      },
      "Download orders",
    ),
  );
  expect(html).toBe(
    '<sluice-export dataset="orders" base-url="https://exports.example.com" format="xlsx" dialog="">Download orders</sluice-export>',
  );
});

it("a server renders the hook in its first state", () => {
  let controls: ExportControls | undefined;
  const Button = () => {
    controls = useExport({ baseUrl: "https://exports.example.com", tokenProvider });
    return null;
  };
  renderToString(createElement(Button));
  expect(controls).toMatchObject({ phase: "idle", busy: false, received: 0, interrupted: false });
});
