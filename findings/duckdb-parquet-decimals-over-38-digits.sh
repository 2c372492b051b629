#!/usr/bin/env bash
# A Parquet decimal of more than 38 digits becomes a double: digits are lost, and a filter finds other numbers.
#
# Packages: pyarrow 26.0.1, duckdb 2.0.0. The file is written by pyarrow with a column of the type decimal256(39, 0).
# Expected: the number with its 39 digits, or an error, because DECIMAL of DuckDB has at most 38 digits.
# Observed: DuckDB reads a DOUBLE without a warning, and a comparison with the next lower number is true. pyarrow reads all digits.
# The script fails when one of the two changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pyarrow==26.0.1 duckdb==2.0.0
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import decimal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

number = decimal.Decimal("123456789012345678901234567890123456789")
pq.write_table(pa.table({"n": pa.array([number], pa.decimal256(39, 0))}), "long.parquet")

seen = {
    "pyarrow": str(pq.read_table("long.parquet")["n"][0].as_py()),
    "duckdb": duckdb.sql("select typeof(n), n from 'long.parquet'").fetchall(),
    "duckdb, n = the number below": duckdb.sql(
        "select count(*) from 'long.parquet' where n = 123456789012345678901234567890123456788"
    ).fetchall(),
}
print(seen)
assert seen == {
    "pyarrow": str(number),
    "duckdb": [("DOUBLE", 1.2345678901234568e38)],
    "duckdb, n = the number below": [(1,)],
}, "a reader has changed"
PYTHON
