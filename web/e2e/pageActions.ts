import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { type APIRequestContext, type Download, expect, type Locator, type Page } from "@playwright/test";

/** Signs a local person in and waits until the page is live. */
export async function signIn(page: Page, person: string, path = "/"): Promise<void> {
  await page.goto(path);
  await page.getByTestId(`sign-in-${person}`).click();
  await expectLive(page);
  await expect(page.getByTestId("credit-balance")).toBeVisible();
}

/** Waits until what the page shows is pushed to it. */
export async function expectLive(page: Page): Promise<void> {
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "live");
}

/** Waits until the start page shows the person's exports, or that there are none. */
export async function expectListed(page: Page): Promise<void> {
  const list = page.getByRole("region", { name: "Your exports" });
  const shown = list.getByTestId("export-row").or(list.getByText("No exports yet"));
  await expect(shown.first()).toBeVisible();
}

/** The balance in the header. */
export async function balanceOf(page: Page): Promise<number> {
  return Number(await page.getByTestId("credit-balance").getAttribute("data-balance"));
}

/** Adds one filter row. */
export async function addFilter(page: Page, column: string, operator: string, value: string): Promise<void> {
  await page.getByTestId("filter-add").click();
  await page.getByTestId("filter-column").last().selectOption(column);
  await page.getByTestId("filter-op").last().selectOption(operator);
  await page.getByTestId("filter-value").last().fill(value);
}

/** Presses Export and gives back the new row. */
export async function startExport(page: Page): Promise<Locator> {
  const rows = page.getByTestId("export-row");
  await expectListed(page); // else one of before may be taken for the new one
  const before = await rows.evaluateAll((all) => all.map((row) => row.getAttribute("data-export-id")));
  const known = before.map((id) => `:not([data-export-id="${id}"])`).join("");
  await page.getByTestId("export-button").click();
  const id = await page.locator(`[data-testid="export-row"]${known}`).first().getAttribute("data-export-id");
  return rowOf(page, id ?? "");
}

/** What the form says of the last press of Export; rows and lists have problems of their own. */
export function formProblem(page: Page): Locator {
  return page.locator("form").getByTestId("problem");
}

/** The row of an export. */
export function rowOf(page: Page, id: string): Locator {
  return page.locator(`[data-testid="export-row"][data-export-id="${id}"]`);
}

/** Which export a row is. */
export async function idOf(row: Locator): Promise<string> {
  return (await row.getAttribute("data-export-id")) ?? "";
}

/** Waits for a status of a row. */
export async function expectStatus(row: Locator, status: string): Promise<void> {
  await expect(row.getByTestId("export-status")).toHaveAttribute("data-status", status, { timeout: 180_000 });
}

/** Waits until so many bytes of a row's file have come. */
export async function expectReceived(row: Locator, bytes: number): Promise<void> {
  await expect
    .poll(async () => Number(await row.getByTestId("save-status").getAttribute("data-received")), {
      timeout: 180_000,
      intervals: [50],
    })
    .toBeGreaterThan(bytes);
}

/** The first position that a row tells of its file: where a download began or went on. */
export async function firstReceived(row: Locator): Promise<number> {
  let first = 0;
  await expect
    .poll(
      async () => {
        first ||= Number(await row.getByTestId("save-status").getAttribute("data-received"));
        return first;
      },
      { timeout: 180_000, intervals: [20] },
    )
    .toBeGreaterThan(0);
  return first;
}

/** A token of a local person. */
export async function tokenOf(request: APIRequestContext, person: string): Promise<string> {
  const response = await request.post("/local/sign-in", { data: { person } });
  expect(response.status()).toBe(200);
  return ((await response.json()) as { token: string }).token;
}

/** Gives a person of the running `sluice up` more credits. */
export function grant(sub: string, tenant: string, amount: number): void {
  const { SLUICE_BIN = "", SLUICE_DATA_DIR = "" } = process.env;
  const args = ["credits", "grant", "--data-dir", SLUICE_DATA_DIR, "--sub", sub, "--tenant", tenant];
  const env = { ...process.env, SLUICE_CREDITS__NIGHTLY: "0" }; // as that Sluice has it
  const done = spawnSync(SLUICE_BIN, [...args, "--amount", String(amount)], { env, encoding: "utf8" });
  expect(done.status, done.stderr).toBe(0);
}

/** The bytes that the browser saved. */
export async function savedBytes(download: Download): Promise<Buffer> {
  expect(await download.failure()).toBeNull();
  return readFile(await download.path());
}

/** Hex SHA-256 of what the browser saved, which may be too large to be read at once. */
export async function savedDigest(download: Download): Promise<string> {
  expect(await download.failure()).toBeNull();
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(await download.path())) {
    hash.update(chunk as Buffer);
  }
  return hash.digest("hex");
}

/** Hex SHA-256. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** A CSV file with its envelope taken off. */
export interface Envelope {
  requestedAt: string;
  completedAt: string;
  rows: number;
  header: string[];
  data: string[][];
}

/** Reads a machine-profile CSV whose cells hold no quotes, as those of the flights do. */
export function readCsv(bytes: Buffer): Envelope {
  const lines = bytes.toString("utf8").split(/\r?\n/);
  expect(lines.pop(), "the file ends with a line end").toBe("");
  const comment = (line: string | undefined, key: string): string => {
    const match = new RegExp(`^# ${key}: (.+)$`).exec(line ?? "");
    expect(match, `${key} in ${line}`).not.toBeNull();
    return match?.[1] ?? "";
  };
  const requestedAt = comment(lines.shift(), "export_requested_at");
  const completedAt = comment(lines.pop(), "export_completed_at");
  const rows = Number(comment(lines.pop(), "export_rows"));
  const [header = [], ...data] = lines.map((line) => line.split(","));
  return { requestedAt, completedAt, rows, header, data };
}
