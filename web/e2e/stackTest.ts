import { test as base } from "@playwright/test";
import type { Stack } from "../stack/stack.js";

/** Maximum start time of a stack, in milliseconds. */
const START_MS = 240_000;

/** Returns a `test` whose tests share their own Sluice, which they may break. It is stopped after the last test. */
export function testWithStack(start: () => Promise<Stack>) {
  return base.extend<object, { stack: Stack }>({
    stack: [
      async ({ browserName: _ }, use) => {
        const stack = await start();
        await use(stack);
        await stack.stop();
      },
      { scope: "worker", timeout: START_MS },
    ],
    baseURL: async ({ stack }, use) => use(stack.url),
  });
}
