import type { CreatedExport, Export, SluiceClient } from "@sluice/client";
import { describe, expect, it, vi } from "vitest";
import { startExport } from "../src/exports/startExport.js";
import { mergePushed, putExport, queryKeys } from "../src/live/queryCache.js";
import { UserSession } from "../src/live/userSession.js";
import type { FileSaver } from "../src/saving/fileSaver.js";

const item = { id: "0199-1", status: "queued" } as Export;

/** Clicks "Export". The test decides when the answer arrives. */
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

describe("a started export", () => {
  it("is listed and saved", async () => {
    const userSession = new UserSession();
    const { started, save, answer } = click(userSession);
    answer();
    expect(await started).toEqual({ export: item, joined: false });
    expect(mergePushed(userSession.queryClient, [])).toEqual([item]);
    expect(save).toHaveBeenCalledWith(item, { kind: "downloads" });
  });

  it("joins an identical unfinished export", async () => {
    const userSession = new UserSession();
    userSession.queryClient.setQueryData(queryKeys.exports, { pages: [{ items: [item] }], pageParams: [""] });
    const { started, answer } = click(userSession);
    answer();
    expect((await started)?.joined).toBe(true);
  });

  it("is neither listed nor saved when the user has signed out before the answer", async () => {
    const userSession = new UserSession();
    const { started, save, answer } = click(userSession);
    userSession.end();
    answer();
    expect(await started).toBeUndefined();
    expect(mergePushed(userSession.queryClient, [])).toEqual([]);
    expect(save).not.toHaveBeenCalled();
  });
});

describe("the next user", () => {
  it("sees no data of the previous user, not even late events", () => {
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
