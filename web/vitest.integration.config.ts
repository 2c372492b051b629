import { defineConfig } from "vitest/config";

/** Tests of the SDK against a real Sluice; `SLUICE_BIN` and `SLUICE_NATS_SERVER` are the paths of its programs. */
export default defineConfig({
  test: {
    include: ["client/integration/**/*.test.ts"],
    environment: "node",
    fileParallelism: false,
    // far above the usual duration, so that slow machines pass
    testTimeout: 240_000,
    hookTimeout: 240_000,
    expect: { poll: { timeout: 60_000 } },
  },
});
