import { defineConfig } from "vitest/config";

/** Tests of the SDK against a real Sluice, which `SLUICE_BIN` and `SLUICE_NATS_SERVER` name. */
export default defineConfig({
  test: {
    include: ["client/integration/**/*.test.ts"],
    environment: "node",
    fileParallelism: false,
    // far more than any of it takes: a slow machine fails nothing
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
