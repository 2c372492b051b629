import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { type APIRequestContext, type Download, expect, type Locator, type Page } from "@playwright/test";

/** Signs a local person in and waits until the page is live. */
export async function signIn(page: Page, person: string): Promise<void> {
  await page.goto("/");
  await page.getByTestId(`sign-in-${person}`).click();
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "live");
  await expect(page.getByTestId("credit-balance")).toBeVisible();
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
  const before = await rows.evaluateAll((all) => all.map((row) => row.getAttribute("data-export-id")));
  const known = before.map((id) => `:not([data-export-id="${id}"])`).join("");
  await page.getByTestId("export-button").click();
  const id = await page.locator(`[data-testid="export-row"]${known}`).first().getAttribute("data-export-id");
  return page.locator(`[data-testid="export-row"][data-export-id="${id}"]`);
}

/** Waits for a status of a row. */
export async function expectStatus(row: Locator, status: string): Promise<void> {
  await expect(row.getByTestId("export-status")).toHaveAttribute("data-status", status, { timeout: 45_000 });
}

/** A token of a local person. */
export async function tokenOf(request: APIRequestContext, person: string): Promise<string> {
  const response = await request.post("/local/sign-in", { data: { person } });
  expect(response.status()).toBe(200);
  return ((await response.json()) as { token: string }).token;
}

/** The bytes that the browser saved. */
export async function savedBytes(download: Download): Promise<Buffer> {
  expect(await download.failure()).toBeNull();
  return readFile(await download.path());
}

/** Hex SHA-256. */
export function sha256(bytes: Buffer): string {
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
