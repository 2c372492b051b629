#!/usr/bin/env bash
# polars reads other numbers from a list of decimals that pyarrow wrote with the type decimal256, without an error.
#
# Packages: polars 2.1.0, pyarrow 26.0.1. The values have at most five digits. pyarrow stores its type in the file's Arrow schema, by default.
# Expected: [[1.5, -9.0], [0.1]], as pyarrow reads it, and as polars reads it when the file has no Arrow schema.
# Observed: polars reads [[1.5, 0.0], [0.1]]. A column of decimal256 outside of a list is read right.
# The script fails when one of these changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet polars==2.1.0 pyarrow==26.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
from decimal import Decimal

import polars
import pyarrow as pa
import pyarrow.parquet as pq

rows = [[Decimal("1.5"), Decimal("-9.0")], [Decimal("0.1")]]
lists = pa.table({"d": pa.array(rows, pa.list_(pa.decimal256(5, 1)))})
flat = pa.table({"d": pa.array(rows[0], pa.decimal256(5, 1))})
pq.write_table(lists, "lists.parquet")
pq.write_table(lists, "without_schema.parquet", store_schema=False)
pq.write_table(flat, "flat.parquet")

seen = {
    "pyarrow": pq.read_table("lists.parquet")["d"].to_pylist(),
    "polars": polars.read_parquet("lists.parquet")["d"].to_list(),
    "polars, without the Arrow schema": polars.read_parquet("without_schema.parquet")["d"].to_list(),
    "polars, outside of a list": polars.read_parquet("flat.parquet")["d"].to_list(),
}
print(seen)
assert seen == {
    "pyarrow": rows,
    "polars": [[Decimal("1.5"), Decimal("0.0")], [Decimal("0.1")]],
    "polars, without the Arrow schema": rows,
    "polars, outside of a list": rows[0],
}, "a reader has changed"
PYTHON
