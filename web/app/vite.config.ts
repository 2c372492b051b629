import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";
import react from "@vitejs/plugin-react";
import { defineConfig, type Plugin } from "vite";

const gateway = process.env.SLUICE_URL ?? "http://127.0.0.1:8080";

/**
 * Name of the service worker's file. The name is fixed, because the browser checks that address for a newer version.
 */
const SERVICE_WORKER = "saving-worker";

/** Compresses assets at build time instead of at each request. */
function compressed(): Plugin {
  return {
    name: "compressed",
    apply: "build",
    async writeBundle({ dir = "dist" }) {
      const folder = join(dir, "assets");
      for (const name of await readdir(folder)) {
        if (!/\.(js|css)$/.test(name)) {
          continue;
        }
        const bytes = await readFile(join(folder, name));
        await writeFile(join(folder, `${name}.br`), await promisify(brotliCompress)(bytes));
        await writeFile(join(folder, `${name}.gz`), await promisify(gzip)(bytes, { level: 9 }));
      }
    },
  };
}

export default defineConfig({
  plugins: [react(), compressed()],
  build: {
    target: "es2022",
    sourcemap: false,
    chunkSizeWarningLimit: 800,
    rollupOptions: {
      input: { main: "index.html", [SERVICE_WORKER]: "src/saving/serviceWorker.ts" },
      output: {
        entryFileNames: ({ name }) => (name === SERVICE_WORKER ? "[name].js" : "assets/[name]-[hash].js"),
      },
    },
  },
  worker: { format: "es" },
  server: {
    proxy: {
      "/v1": { target: gateway, ws: true, changeOrigin: true },
      "/local": { target: gateway, changeOrigin: true },
      "/problems": { target: gateway, changeOrigin: true },
      "/config.json": { target: gateway, changeOrigin: true },
    },
  },
});
