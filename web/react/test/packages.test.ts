import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, it } from "vitest";

const run = promisify(execFile);
const web = fileURLToPath(new URL("../../", import.meta.url));

/** The packages of this repository, and what they need; nothing is fetched from a registry. */
const OWN = ["client", "element", "react"];
const NEEDED = ["@noble/hashes", "eventsource-parser", "react", "@types/react", "csstype"];

/** A consumer that uses every entry of the packages. */
const CONSUMER = `
import { connect, type SluiceClient } from "@sluice/client";
import { ExportRun, type RunState } from "@sluice/client/browser";
import { formatters, toFilter } from "@sluice/client/form";
import { registerStrings, type SluiceExportElement } from "@sluice/element";
import { SluiceExport, useExport } from "@sluice/react";
import { createElement, type ReactElement } from "react";

export const client: Promise<SluiceClient> = connect({ baseUrl: "https://exports.example.com", token: "t" });
export const state: RunState = new ExportRun({ baseUrl: "https://exports.example.com" }).state;
export const text: string = formatters("en").count(1) + JSON.stringify(toFilter([], [], "all"));
registerStrings("fr", { export: "Exporter", rows: { one: "{count} ligne", other: "{count} lignes" } });
export function Page(): ReactElement {
  const { start, busy } = useExport({ baseUrl: "https://exports.example.com", tokenProvider: () => "t" });
  const element: SluiceExportElement = document.createElement("sluice-export");
  element.addEventListener("sluice-completed", ({ detail }) => detail.file.rows.toFixed());
  return createElement("p", { onClick: () => busy || start({ dataset: "orders" }) },
    createElement(SluiceExport, { dataset: "orders", baseUrl: "", tokenProvider: () => "t", onFailed: ({ error }) => error.slug }));
}
`;

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sluice-packages-"));
  const tarballs = join(folder, "tarballs");
  await mkdir(tarballs);
  const dependencies: Record<string, string> = {};
  for (const path of [...OWN, ...NEEDED.map((name) => `node_modules/${name}`)]) {
    const { name } = JSON.parse(await readFile(join(web, path, "package.json"), "utf8")) as { name: string };
    // scripts of other packages are for their own repositories
    const scripts = OWN.includes(path) ? [] : ["--ignore-scripts"];
    const packed = await run("npm", ["pack", "--json", "--pack-destination", tarballs, ...scripts], {
      cwd: join(web, path),
    });
    const [{ filename } = { filename: "" }] = JSON.parse(packed.stdout) as { filename: string }[];
    dependencies[name] = `file:tarballs/${filename}`;
  }
  await writeFile(
    join(folder, "package.json"),
    JSON.stringify({ private: true, type: "module", dependencies }),
  );
  await run("npm", ["install", "--offline", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: folder });
});
afterAll(() => rm(folder, { recursive: true, force: true }));

it("each package has its code, its types, its license and a readme", async () => {
  for (const name of OWN) {
    const installed = join(folder, "node_modules/@sluice", name);
    expect(await readdir(installed), name).toEqual(
      expect.arrayContaining(["LICENSE", "README.md", "dist", "package.json"]),
    );
    expect(await readdir(join(installed, "dist")), name).toEqual(
      expect.arrayContaining(["index.js", "index.d.ts"]),
    );
    expect(await readFile(join(installed, "LICENSE"), "utf8")).toContain("Apache License");
  }
  const embedded = join(folder, "node_modules/@sluice/element/dist/embed/sluice.js");
  expect((await readFile(embedded, "utf8")).length).toBeGreaterThan(10_000);
});

it("a fresh project compiles against the types", async () => {
  await writeFile(join(folder, "consumer.ts"), CONSUMER);
  const options = {
    strict: true,
    noEmit: true,
    module: "nodenext",
    target: "es2022",
    lib: ["ES2022", "DOM"],
    types: [],
  };
  await writeFile(
    join(folder, "tsconfig.json"),
    JSON.stringify({ compilerOptions: options, files: ["consumer.ts"] }),
  );
  const tsc = join(web, "node_modules/typescript/bin/tsc");
  const done = await run(process.execPath, [tsc, "-p", folder], { cwd: folder }).catch((cause) => cause);
  expect(done.stdout).toBe("");
});

it("a server imports every entry without a page", async () => {
  const entries = ["client", "client/browser", "client/form", "element", "react"];
  const script = entries.map((entry) => `await import("@sluice/${entry}");`).join("\n");
  const done = await run(process.execPath, ["--input-type=module", "-e", `${script}\nconsole.log("ok");`], {
    cwd: folder,
  });
  expect(done.stdout.trim()).toBe("ok");
});
