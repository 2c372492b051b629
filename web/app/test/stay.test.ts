import type { Created, Export, SluiceClient } from "@sluice/client";
import { describe, expect, it, vi } from "vitest";
import { start } from "../src/exports/start.js";
import { keys, putExport, withPushed } from "../src/live/follow.js";
import { Stay } from "../src/live/stay.js";
import type { FileSaver } from "../src/saving/saver.js";

const item = { id: "0199-1", status: "queued" } as Export;

/** A click on "Export" whose answer comes when the test wants it. */
function click(stay: Stay) {
  let answer = () => {};
  const created = new Promise<Created>((resolve) => {
    answer = () => resolve({ export: item, announced: false });
  });
  const client = { exports: { create: () => created } } as unknown as SluiceClient;
  const save = vi.fn(async () => undefined);
  const saver = { save } as unknown as FileSaver;
  const began = start({ client, saver, stay }, { dataset: "flights" }, { kind: "downloads" });
  return { began, save, answer };
}

describe("an export that was asked for", () => {
  it("is listed and saved", async () => {
    const stay = new Stay();
    const { began, save, answer } = click(stay);
    answer();
    expect(await began).toEqual({ export: item, joined: false });
    expect(withPushed(stay.queries, [])).toEqual([item]);
    expect(save).toHaveBeenCalledWith(item, { kind: "downloads" });
  });

  it("joins one that was being made already", async () => {
    const stay = new Stay();
    stay.queries.setQueryData(keys.exports, { pages: [{ items: [item] }], pageParams: [""] });
    const { began, answer } = click(stay);
    answer();
    expect((await began)?.joined).toBe(true);
  });

  it("is neither when they have signed out before the answer", async () => {
    const stay = new Stay();
    const { began, save, answer } = click(stay);
    stay.end();
    answer();
    expect(await began).toBeUndefined();
    expect(withPushed(stay.queries, [])).toEqual([]);
    expect(save).not.toHaveBeenCalled();
  });
});

describe("whoever signs in next", () => {
  it("sees nothing of the one before, also not what is told late", () => {
    const before = new Stay();
    putExport(before.queries, item);
    before.end();
    expect(withPushed(before.queries, [])).toEqual([]);
    putExport(before.queries, item);
    const next = new Stay();
    expect(withPushed(next.queries, [])).toEqual([]);
    expect(next.over.aborted).toBe(false);
  });
});
