import { expect, type Locator, type Page } from "@playwright/test";
import { Stack } from "../stack/stack.js";
import { onStack } from "./onStack.js";
import { expectReceived, expectStatus, idOf, rowOf, savedDigest, signIn, startExport } from "./page.js";

const test = onStack(() => Stack.start({ name: "the stack of the restarts" }));

/** The digest that the server sealed. */
async function sealed(stack: Stack, id: string): Promise<string> {
  const item = (await (await stack.rest("GET", `/v1/exports/${id}`)).json()) as { file: { sha256: string } };
  return item.file.sha256;
}

/** The gateway dies and comes back; meanwhile the person sees what is the matter. */
async function restart(stack: Stack, page: Page, row: Locator): Promise<void> {
  await stack.kill("gateway");
  await expect(page.getByTestId("connection-state")).toHaveAttribute("data-state", "reconnecting");
  await expect(row.getByTestId("saving")).toHaveAttribute("data-phase", "waiting");
  await expect(row.getByTestId("saving")).toContainText("Reconnecting");
  stack.launch("gateway");
}

test("a download goes on by itself when the gateway is killed twice, and a reload does not lose it", async ({
  page,
  stack,
}) => {
  await signIn(page, "alice");
  const row = await startExport(page);
  await expectReceived(row, 2_000_000);
  await restart(stack, page, row);
  const received = Number(await row.getByTestId("saving").getAttribute("data-received"));
  await expectReceived(row, received);
  await restart(stack, page, row);
  const second = Number(await row.getByTestId("saving").getAttribute("data-received"));
  await expectReceived(row, Math.max(second, 10_000_000));

  const id = await idOf(row);
  const downloading = page.waitForEvent("download", { timeout: 60_000 });
  await page.reload();
  const again = rowOf(page, id);
  // what had come is not fetched again
  await expectReceived(again, 10_000_000);
  const download = await downloading;
  await expectStatus(again, "completed");
  await expect(again.getByTestId("saving")).toHaveAttribute("data-phase", "saved");
  expect(await savedDigest(download)).toBe(await sealed(stack, id));
});

test("a tab that crashed goes on when the page is opened again", async ({ page, context, stack }) => {
  await signIn(page, "alice");
  const row = await startExport(page);
  await expectReceived(row, 5_000_000);
  const id = await idOf(row);
  const identity = await page.evaluate(() => sessionStorage.getItem("sluice.identity") ?? "");
  const crashed = page.waitForEvent("crash");
  await page.goto("chrome://crash").catch(() => undefined); // the tab is gone before it can answer
  await crashed;
  const next = await context.newPage();
  await next.addInitScript((kept) => sessionStorage.setItem("sluice.identity", kept), identity);
  const downloading = next.waitForEvent("download", { timeout: 60_000 });
  await next.goto("/");
  await expectReceived(rowOf(next, id), 5_000_000);
  expect(await savedDigest(await downloading)).toBe(await sealed(stack, id));
});
