import type { Export, ExportPage } from "@sluice/client";
import { type InfiniteData, QueryClient } from "@tanstack/react-query";
import { describe, expect, it } from "vitest";
import { mergeCached, mergePushed, putExport, queryKeys } from "../src/live/queryCache.js";

const item = (status: Export["status"]) => ({ id: "x", status }) as Export;
const pageOf = (items: Export[]): InfiniteData<ExportPage> => ({
  pages: [{ items }] as unknown as ExportPage[],
  pageParams: [""],
});

describe("a REST answer that is older than an event", () => {
  it.each([
    ["the newest exports", queryKeys.exports, pageOf([item("completed")])],
    ["the history", queryKeys.history({ dataset: "flights" }), pageOf([item("completed")])],
    ["the page of one export", queryKeys.export("x"), item("completed")],
  ])("does not revert the final status in %s", (_, key, data) => {
    const queries = new QueryClient();
    queries.setQueryData(key, data);
    expect(mergeCached(queries, item("running")).status).toBe("completed");
    expect(mergeCached(queries, item("expired")).status).toBe("expired");
  });

  it("is used when the cache has no newer version", () => {
    expect(mergeCached(new QueryClient(), item("running")).status).toBe("running");
  });
});

describe("a pushed export", () => {
  it("stays first when an older list arrives without it", () => {
    const queries = new QueryClient();
    const [old, one, two] = ["0199-1", "0199-2", "0199-3"].map((id) => ({ ...item("queued"), id }));
    for (const pushed of [old, one, two] as Export[]) {
      putExport(queries, pushed);
    }
    const ids = (items: unknown[]) => mergePushed(queries, items as Export[]).map(({ id }) => id);
    expect(ids([old])).toEqual(["0199-3", "0199-2", "0199-1"]);
    expect(ids([])).toEqual(["0199-3", "0199-2", "0199-1"]);
    expect(ids([two, one, old])).toEqual(["0199-3", "0199-2", "0199-1"]);
  });

  it("comes first when it is new, and is replaced in place when it is known", () => {
    const queries = new QueryClient();
    queries.setQueryData(queryKeys.exports, pageOf([{ ...item("completed"), id: "old" }]));
    putExport(queries, item("queued"));
    putExport(queries, item("running"));
    const { pages } = queries.getQueryData<InfiniteData<ExportPage>>(queryKeys.exports) ?? pageOf([]);
    expect(pages[0]?.items.map(({ id, status }) => `${id} ${status}`)).toEqual([
      "x running",
      "old completed",
    ]);
  });
});
