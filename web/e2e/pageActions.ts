import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { readFile } from "node:fs/promises";
import { type APIRequestContext, type Download, expect, type Locator, type Page } from "@playwright/test";

/** Signs a local user in and waits for the live session. */
export async function signIn(page: Page, person: string, path = "/"): Promise<void> {
  await page.goto(path);
  await page.getByTestId(`sign-in-${person}`).click();
  await expectLive(page);
  await expect(page.getByTestId("credit-balance")).toBeVisible();
}

/** Waits for the live session. */
export async function expectLive(page: Page): Promise<void> {
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "live");
}

/** Waits until the start page shows the user's exports, or that there are none. */
export async function expectListed(page: Page): Promise<void> {
  const list = page.getByRole("region", { name: "Your exports" });
  const shown = list.getByTestId("export-row").or(list.getByText("No exports yet"));
  await expect(shown.first()).toBeVisible();
}

/** Returns the balance in the header. */
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

/** Clicks Export and returns the new row. */
export async function startExport(page: Page): Promise<Locator> {
  const rows = page.getByTestId("export-row");
  await expectListed(page); // otherwise an older row may count as new
  const before = await rows.evaluateAll((all) => all.map((row) => row.getAttribute("data-export-id")));
  const known = before.map((id) => `:not([data-export-id="${id}"])`).join("");
  await page.getByTestId("export-button").click();
  const id = await page.locator(`[data-testid="export-row"]${known}`).first().getAttribute("data-export-id");
  return rowOf(page, id ?? "");
}

/** Returns the problem of the form; rows and lists show their own. */
export function formProblem(page: Page): Locator {
  return page.locator("form").getByTestId("problem");
}

/** Returns the row of an export. */
export function rowOf(page: Page, id: string): Locator {
  return page.locator(`[data-testid="export-row"][data-export-id="${id}"]`);
}

/** Returns the export id of a row. */
export async function idOf(row: Locator): Promise<string> {
  return (await row.getAttribute("data-export-id")) ?? "";
}

/** Waits until a row has this status. */
export async function expectStatus(row: Locator, status: string): Promise<void> {
  await expect(row.getByTestId("export-status")).toHaveAttribute("data-status", status, { timeout: 180_000 });
}

/** Waits until the page has received this many bytes of a row's file. */
export async function expectReceived(row: Locator, bytes: number): Promise<void> {
  await expect
    .poll(async () => Number(await row.getByTestId("save-status").getAttribute("data-received")), {
      timeout: 180_000,
      intervals: [50],
    })
    .toBeGreaterThan(bytes);
}

/** Returns the first received position that a row shows: where a download began or resumed. */
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

/** Returns a token of a local user. */
export async function tokenOf(request: APIRequestContext, person: string): Promise<string> {
  const response = await request.post("/local/sign-in", { data: { person } });
  expect(response.status()).toBe(200);
  return ((await response.json()) as { token: string }).token;
}

/** Grants credits to a user of the running `sluice up`. */
export function grant(sub: string, tenant: string, amount: number): void {
  const { PATH = "", HOME = "", SLUICE_BIN = "", SLUICE_DATA_DIR = "" } = process.env;
  const args = ["credits", "grant", "--data-dir", SLUICE_DATA_DIR, "--sub", sub, "--tenant", tenant];
  const env = { PATH, HOME, SLUICE_CREDITS__DAILY_GRANT: "0" }; // same as the running Sluice
  const done = spawnSync(SLUICE_BIN, [...args, "--amount", String(amount)], { env, encoding: "utf8" });
  expect(done.status, done.stderr).toBe(0);
}

/** Returns the bytes that the browser saved. */
export async function savedBytes(download: Download): Promise<Buffer> {
  expect(await download.failure()).toBeNull();
  return readFile(await download.path());
}

/** Returns the hex SHA-256 of a saved file of any size. */
export async function savedDigest(download: Download): Promise<string> {
  expect(await download.failure()).toBeNull();
  const hash = createHash("sha256");
  for await (const chunk of createReadStream(await download.path())) {
    hash.update(chunk as Buffer);
  }
  return hash.digest("hex");
}

/** Returns the hex SHA-256 of bytes. */
export function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** The content of a CSV file: the values of its comment lines, the header, and the cells. */
export interface CsvContent {
  requestedAt: string;
  completedAt: string;
  rows: number;
  header: string[];
  data: string[][];
}

/** Parses a machine-profile CSV without quoted cells, such as an export of flights. */
export function readCsv(bytes: Buffer): CsvContent {
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
