#!/usr/bin/env bash
# INT96 moments after the year 2262 come back as other moments, without an error.
#
# Packages: pyarrow 26.0.1, polars 2.1.0, duckdb 2.0.0. The file is written by pyarrow with INT96 timestamps, as Spark and
#   Impala write them, and without the Arrow schema, as Spark writes it.
# Expected: 9999-12-31 23:59:59, which DuckDB reads, or an error.
# Observed: pyarrow reads 1816-03-30 05:56:07.066277376 (the count of nanoseconds wraps), and polars reads
#   2262-04-11 23:47:16.854775807 (the count saturates).
# The script fails when one of the three changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyarrow==26.0.1 polars==2.1.0 duckdb==2.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import datetime

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq

far = datetime.datetime(9999, 12, 31, 23, 59, 59)
table = pa.table({"at": pa.array([far], pa.timestamp("us"))})
pq.write_table(table, "far.parquet", use_deprecated_int96_timestamps=True, store_schema=False)

seen = {
    "pyarrow": str(pq.read_table("far.parquet")["at"][0].value),
    "polars": str(polars.read_parquet("far.parquet")["at"].cast(polars.Int64)[0]),
    "duckdb": str(duckdb.sql("select \"at\" from 'far.parquet'").fetchall()[0][0]),
}
print(seen)
assert seen == {
    "pyarrow": "-4852116232933722624",
    "polars": str(2**63 - 1),
    "duckdb": "9999-12-31 23:59:59",
}, "a reader has changed"
PYTHON
