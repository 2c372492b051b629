import react from "@vitejs/plugin-react";
import { defineConfig } from "vite";

const gateway = process.env.SLUICE_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  build: { target: "es2022", sourcemap: false, chunkSizeWarningLimit: 700 },
  server: {
    proxy: {
      "/v1": { target: gateway, ws: true, changeOrigin: true },
      "/local": { target: gateway, changeOrigin: true },
      "/problems": { target: gateway, changeOrigin: true },
    },
  },
});
