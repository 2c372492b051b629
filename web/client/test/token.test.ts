import { expect, it } from "vitest";
import { sharedToken } from "../src/token.js";

it("concurrent calls share one request, and a refresh asks for a newer token", async () => {
  const asked: { refresh: boolean; give: (token: string) => void }[] = [];
  const provider = sharedToken(
    ({ refresh }) =>
      new Promise((give) => {
        asked.push({ refresh, give });
      }),
  );
  const first = [provider({ refresh: false }), provider({ refresh: false })];
  const newer = [provider({ refresh: true }), provider({ refresh: true }), provider({ refresh: false })];
  expect(asked.map(({ refresh }) => refresh)).toEqual([false, true]);
  asked[1]?.give("newer");
  expect(await Promise.all(newer)).toEqual(["newer", "newer", "newer"]);
  asked[0]?.give("first");
  expect(await Promise.all(first)).toEqual(["first", "first"]);
  void provider({ refresh: false });
  expect(asked).toHaveLength(3);
});

it("a failure ends the shared request", async () => {
  let calls = 0;
  const provider = sharedToken(() => {
    calls += 1;
    throw new Error("offline");
  });
  const both = [provider({ refresh: false }), provider({ refresh: false })];
  expect((await Promise.allSettled(both)).map(({ status }) => status)).toEqual(["rejected", "rejected"]);
  await expect(provider({ refresh: false })).rejects.toThrow("offline");
  expect(calls).toBe(2);
});
