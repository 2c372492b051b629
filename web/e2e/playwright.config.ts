import { defineConfig } from "@playwright/test";

const baseURL = process.env.SLUICE_URL;
if (!baseURL) {
  throw new Error("SLUICE_URL is not set: run `cargo xtask test`, or give the address of a running gateway");
}

export default defineConfig({
  testDir: ".",
  globalSetup: "./globalSetup.ts",
  testIgnore: [
    // the test of a 1 GB file needs its own dataset, which only `cargo xtask test --full` creates
    ...(process.env.SLUICE_HEAVY_DATASETS ? [] : ["largeFile.spec.ts"]),
    ...(process.env.SLUICE_QUICK === "1"
      ? [
          "embedding.spec.ts",
          "exportLifecycle.spec.ts",
          "failures.spec.ts",
          "operate.spec.ts",
          "problems.spec.ts",
          "restart.spec.ts",
          "saving.spec.ts",
        ]
      : []),
  ],
  testMatch: process.env.SLUICE_SCREENSHOTS === "1" ? ["*.spec.ts", "screenshots.ts"] : ["*.spec.ts"],
  outputDir: "../test-results",
  reporter: "list",
  retries: 0,
  workers: 1,
  // far above the usual duration, so that slow machines pass
  timeout: 300_000,
  expect: { timeout: 90_000 },
  use: {
    baseURL,
    acceptDownloads: true,
    locale: "en-GB",
    timezoneId: "UTC",
    viewport: { width: 1280, height: 860 },
    launchOptions: {
      executablePath: process.env.CHROMIUM_PATH ?? "/usr/bin/chromium",
      args: [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
      ],
    },
  },
});
