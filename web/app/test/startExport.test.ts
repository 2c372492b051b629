import type { CreatedExport, Export, SluiceClient } from "@sluice/client";
import { describe, expect, it, vi } from "vitest";
import { startExport } from "../src/exports/startExport.js";
import { mergePushed, putExport, queryKeys } from "../src/live/queryCache.js";
import { UserSession } from "../src/live/userSession.js";
import type { FileSaver } from "../src/saving/fileSaver.js";

const item = { id: "0199-1", status: "queued" } as Export;

/** A click on "Export" whose answer comes when the test wants it. */
function click(userSession: UserSession) {
  let answer = () => {};
  const created = new Promise<CreatedExport>((resolve) => {
    answer = () => resolve({ export: item, announced: false });
  });
  const client = { exports: { create: () => created } } as unknown as SluiceClient;
  const save = vi.fn(async () => undefined);
  const saver = { save } as unknown as FileSaver;
  const started = startExport({ client, saver, userSession }, { dataset: "flights" }, { kind: "downloads" });
  return { started, save, answer };
}

describe("an export that was asked for", () => {
  it("is listed and saved", async () => {
    const userSession = new UserSession();
    const { started, save, answer } = click(userSession);
    answer();
    expect(await started).toEqual({ export: item, joined: false });
    expect(mergePushed(userSession.queryClient, [])).toEqual([item]);
    expect(save).toHaveBeenCalledWith(item, { kind: "downloads" });
  });

  it("joins one that was being made already", async () => {
    const userSession = new UserSession();
    userSession.queryClient.setQueryData(queryKeys.exports, { pages: [{ items: [item] }], pageParams: [""] });
    const { started, answer } = click(userSession);
    answer();
    expect((await started)?.joined).toBe(true);
  });

  it("is neither when they have signed out before the answer", async () => {
    const userSession = new UserSession();
    const { started, save, answer } = click(userSession);
    userSession.end();
    answer();
    expect(await started).toBeUndefined();
    expect(mergePushed(userSession.queryClient, [])).toEqual([]);
    expect(save).not.toHaveBeenCalled();
  });
});

describe("whoever signs in next", () => {
  it("sees nothing of the one before, also not what is told late", () => {
    const before = new UserSession();
    putExport(before.queryClient, item);
    before.end();
    expect(mergePushed(before.queryClient, [])).toEqual([]);
    putExport(before.queryClient, item);
    const next = new UserSession();
    expect(mergePushed(next.queryClient, [])).toEqual([]);
    expect(next.ended.aborted).toBe(false);
  });
});
