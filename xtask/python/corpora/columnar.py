"""Reads Parquet and Arrow files with pyarrow, and looks whether DuckDB reads the same values of the Parquet files."""

import duckdb
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq

from arrow_values import differences
from oracles import disputed


def wanted(path, kind, _):
    """Reads a file with pyarrow."""
    if kind == "parquet":
        return pq.ParquetFile(path).read()
    begin = path.read_bytes()[:6]
    if begin.startswith(b"FEA1"):
        return pa.feather.read_table(path)
    return (pa.ipc.open_file if begin == b"ARROW1" else pa.ipc.open_stream)(path).read_all()


def second(path, kind, table, _):
    """The columns of which DuckDB reads other values; False if it reads other rows or columns, and None if it reads none."""
    if kind != "parquet":
        return None
    relation = duckdb.sql("from read_parquet($path)", params={"path": str(path)})
    found = disputed(table, relation.to_arrow_table())
    return False if found is None else found


def difference(table, exported, disputed_columns):
    """The first difference between a table and the lines of Sluice, apart from disputed columns."""
    return differences(table, exported.data.decode(), exported.said, exported.names, disputed_columns)
