import { copyFile, open } from "node:fs/promises";
import { FLIGHTS } from "./stack.js";

/** Declares the damaged dataset as `orders` in a catalog; its file is `orders.parquet`. */
export const ORDERS = `
[[dataset]]
name = "orders"
title = "Orders"
description = "All orders, as in the TPC-H benchmark"
files = "orders.parquet"
`;

/**
 * Creates a dataset with a valid schema and unreadable rows: a copy of the flights whose first 80 % are overwritten.
 */
export async function damagedDataset(path: string): Promise<void> {
  await copyFile(FLIGHTS, path);
  const file = await open(path, "r+");
  const { size } = await file.stat();
  const rows = Math.floor(size * 0.8);
  await file.write(Buffer.alloc(rows, 0x5a), 0, rows, 1_000);
  await file.close();
}
