import { defineConfig } from "vitest/config";

/** Tests of the SDK against a real Sluice, which `SLUICE_BIN` and `SLUICE_NATS_SERVER` name. */
export default defineConfig({
  test: {
    include: ["client/real/**/*.test.ts"],
    environment: "node",
    fileParallelism: false,
    hookTimeout: 60_000,
  },
});
