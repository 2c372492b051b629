/** Copies the license into the package in the current folder, because `npm pack` takes files below it only. */
import { copyFile } from "node:fs/promises";

await copyFile(new URL("../../LICENSE", import.meta.url), "LICENSE");
