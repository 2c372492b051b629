// Gives the cells of a Node reader as texts. A call of calls/node.toml is appended to this module and sets `rows`.
import fs from "node:fs";

const COLUMNS = ["id", "code", "account", "qty", "amount", "ratio", "active", "day", "moment", "wall", "word", "note"];
const text = fs.existsSync("data.csv") ? fs.readFileSync("data.csv", "utf8") : "";

/** A cell as text, or null. A Date has no zone of its own: it is given as UTC. */
function cell(value) {
  if (value === null || value === undefined) return null;
  if (value instanceof Date) return Number.isNaN(value.getTime()) ? "Invalid Date" : value.toISOString().replace(/^\+0/, "").replace("Z", "");
  return typeof value === "object" ? JSON.stringify(value) : Object.is(value, -0) ? "-0" : String(value);
}

/** Objects of rows that are arrays in the order of the columns. */
function arrays(rows) {
  return rows.map((row) => Object.fromEntries(COLUMNS.map((name, index) => [name, row[index]])));
}

/** Prints one JSON array for each row. */
function emit(rows) {
  const lines = rows.map((row) => JSON.stringify(COLUMNS.map((name) => cell(row[name]))));
  fs.writeFileSync(process.env.LOADERS_OUT, lines.join("\n") + "\n");
}
