import { mkdir, readFile, writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { brotliCompress, gzip } from "node:zlib";
import { defineConfig, type Plugin } from "vite";

/** Maximum size of the script after gzip, in bytes. */
const MAX_GZIP_BYTES = 40_000;

/** The folder of the page, which gateways serve. */
const PAGE = fileURLToPath(new URL("../app/dist/embed/", import.meta.url));

/** Prints and checks the script's size, compresses it, and puts it beside the page. */
function embedded(): Plugin {
  return {
    name: "embedded",
    apply: "build",
    async writeBundle({ dir = "" }) {
      const script = await readFile(`${dir}/sluice.js`);
      const zipped = await promisify(gzip)(script, { level: 9 });
      const brotli = await promisify(brotliCompress)(script);
      const sizes = `${script.length} bytes, ${zipped.length} after gzip, ${brotli.length} after brotli`;
      this.info(`sluice.js: ${sizes}; at most ${MAX_GZIP_BYTES} after gzip`);
      if (zipped.length > MAX_GZIP_BYTES) {
        this.error(`sluice.js is too large: ${sizes}`);
      }
      await mkdir(PAGE, { recursive: true });
      await writeFile(`${PAGE}sluice.js`, script);
      await writeFile(`${PAGE}sluice.js.gz`, zipped);
      await writeFile(`${PAGE}sluice.js.br`, brotli);
    },
  };
}

export default defineConfig({
  plugins: [embedded()],
  build: {
    target: "es2022",
    outDir: "dist/embed",
    emptyOutDir: true,
    reportCompressedSize: false,
    // a library keeps its white space by default
    rolldownOptions: { output: { minify: true } },
    lib: { entry: "src/embed.ts", formats: ["es"], fileName: () => "sluice.js" },
  },
});
