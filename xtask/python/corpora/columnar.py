"""Reads Parquet and Arrow files with pyarrow, and looks whether DuckDB reads as many rows of the Parquet files."""

import duckdb
import pyarrow as pa
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet as pq

from arrow_values import differences


def wanted(path, kind, _):
    """Reads a file with pyarrow."""
    if kind == "parquet":
        return pq.ParquetFile(path).read()
    begin = path.read_bytes()[:6]
    if begin.startswith(b"FEA1"):
        return pa.feather.read_table(path)
    return (pa.ipc.open_file if begin == b"ARROW1" else pa.ipc.open_stream)(path).read_all()


def second(path, kind, table, _):
    """Whether DuckDB reads as many rows; None if it can't read the file."""
    if kind != "parquet":
        return None
    relation = duckdb.sql("from read_parquet($path)", params={"path": str(path)})
    return relation.to_arrow_table().num_rows == table.num_rows


def difference(table, data, said):
    """The first difference between a table and the lines of Sluice."""
    return differences(table, data.decode(), said)
