"""Gives the cells of a Python reader as texts; a call of calls/ runs in this module's process."""

import datetime as dt
import json
import math
import sys

from truth import COLUMNS


def text(value):
    """A cell as text; None stays None."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, bool) or type(value).__name__ in ("bool", "bool_"):
        return "true" if value else "false"
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    if isinstance(value, float) or type(value).__name__ in ("float64", "float32"):
        return "NaN" if math.isnan(value) else repr(float(value))
    if isinstance(value, bytes):
        return value.decode()
    return str(value)


def emit(rows):
    """Prints one JSON array for each row, which is a sequence in the order of the columns, or a dict."""
    for row in rows:
        cells = [row.get(name) for name in COLUMNS] if isinstance(row, dict) else row
        sys.stdout.write(json.dumps([text(cell) for cell in cells]) + "\n")


def pandas_rows(frame):
    """The rows of a pandas frame; a missing value is None, and a NaN in a column of floats stays NaN where the two differ."""
    columns = []
    for name in COLUMNS:
        column = frame[name]
        arrow = str(column.dtype).endswith("[pyarrow]")
        if arrow:
            columns.append(column.array.__arrow_array__().to_pylist() if hasattr(column.array, "__arrow_array__") else list(column))
        else:
            missing = column.isna().tolist()
            columns.append([None if gone else value for gone, value in zip(missing, column.tolist())])
    return zip(*columns)


def clickhouse_rows(answer):
    """The rows of an answer in the format JSONCompactEachRow."""
    return [json.loads(line) for line in str(answer).splitlines()]


def spark_rows(frame):
    """The rows of a frame of Spark, read in the zone of the machine, as texts that Spark prints in UTC."""
    read = frame.localCheckpoint()
    read.sparkSession.conf.set("spark.sql.session.timeZone", "UTC")
    return read.select([read[name].cast("string") for name in COLUMNS]).collect()
