import { copyFile, open } from "node:fs/promises";
import { FLIGHTS } from "./stack.js";

/** Makes a dataset whose rows can't be read: a copy of the flights, whose schema stands at the end and is whole. */
export async function damagedDataset(path: string): Promise<void> {
  await copyFile(FLIGHTS, path);
  const file = await open(path, "r+");
  const { size } = await file.stat();
  const rows = Math.floor(size * 0.8);
  await file.write(Buffer.alloc(rows, 0x5a), 0, rows, 1_000);
  await file.close();
}
