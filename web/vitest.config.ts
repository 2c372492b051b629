import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["client/test/**/*.test.ts", "app/test/**/*.test.ts", "e2e/**/*.test.ts"],
    environment: "node",
    // in which the sentences of the page are written, whatever the machine's own language is
    env: { LC_ALL: "en_GB.UTF-8" },
    // far more than any of it takes: a slow machine fails nothing
    testTimeout: 60_000,
    hookTimeout: 60_000,
    expect: { poll: { timeout: 30_000 } },
  },
});
