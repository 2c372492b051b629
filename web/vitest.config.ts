import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: [
      ...["client", "element", "react", "app"].map((name) => `${name}/test/**/*.test.ts`),
      "e2e/**/*.test.ts",
      "stack/**/*.test.ts",
    ],
    environment: "node",
    // fixes the locale of the texts in the tests on every machine
    env: { LC_ALL: "en_GB.UTF-8" },
    // far above the usual duration, so that slow machines pass
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
