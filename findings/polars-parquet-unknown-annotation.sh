#!/usr/bin/env bash
# polars refuses a whole Parquet file if one column has an annotation that polars does not know.
#
# Packages: polars 2.1.0, duckdb 2.0.0, pyarrow 26.0.1. DuckDB writes a column of type VARIANT beside a column of texts.
# Expected: the other column, at least. LogicalTypes.md of the Parquet format lets readers ignore an unknown annotation and
#   read the physical type, which pyarrow does.
# Observed: polars reads neither column: "LogicalType union has no variant set".
# The script fails when that changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet polars==2.1.0 duckdb==2.0.0 pyarrow==26.0.1
cd "$folder"
"$folder/venv/bin/python" - <<'PYTHON'
import duckdb
import polars
import pyarrow.parquet as pq

duckdb.sql("copy (select 42::VARIANT as anything, 'x' as name) to 'variant.parquet'")
assert pq.read_table("variant.parquet")["name"].to_pylist() == ["x"]
try:
    polars.read_parquet("variant.parquet", columns=["name"])
except polars.exceptions.ComputeError as error:
    print(error)
    assert "LogicalType union has no variant set" in str(error), "polars fails in another way"
else:
    raise AssertionError("polars reads the file now")
PYTHON
