"""Test data: a Parquet file with every type that a column may have, and a catalog."""

from __future__ import annotations

from datetime import date, datetime, time, timezone
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

MARK = "a text that a proxy damages"
"""Stands in each row, uncompressed in CSV, and in no message of the protocol."""

KEPT: dict[str, tuple[pa.DataType, list[object]]] = {
    "flag": (pa.bool_(), [True, None, False]),
    "i8": (pa.int8(), [-128, None, 127]),
    "i16": (pa.int16(), [-(2**15), None, 2**15 - 1]),
    "i32": (pa.int32(), [-(2**31), None, 2**31 - 1]),
    "i64": (pa.int64(), [-(2**63), None, 2**63 - 1]),
    "u8": (pa.uint8(), [0, None, 255]),
    "u16": (pa.uint16(), [0, None, 2**16 - 1]),
    "u32": (pa.uint32(), [0, None, 2**32 - 1]),
    "f32": (pa.float32(), [0.1, None, float("-inf")]),
    "f64": (pa.float64(), [5e-324, None, float("nan")]),
    "money": (
        pa.decimal128(38, 10),
        [Decimal("1234567890123456789012345678.0123456789"), None, Decimal("-0.0000000001")],
    ),
    "day": (pa.date32(), [date(1, 1, 1), None, date(9999, 12, 31)]),
    "clock": (pa.time64("ns"), [time(0, 0), None, time(23, 59, 59, 999999)]),
    "wall": (
        pa.timestamp("us"),
        [datetime(1, 1, 1), None, datetime(2026, 3, 29, 2, 30, 0, 500000)],
    ),
    "moment": (
        pa.timestamp("us", tz="UTC"),
        [
            datetime(2026, 1, 1, tzinfo=timezone.utc),
            None,
            datetime(9999, 12, 31, 23, 59, 59, 999999, timezone.utc),
        ],
    ),
    "text": (pa.large_string(), ["", None, 'quote " comma , line \r\n end \u00e9\U0001f600']),
}
"""Types that an export keeps."""

TEXTS: dict[str, tuple[pa.DataType, list[object], list[str | None]]] = {
    "bytes": (pa.binary(), [b"\x00\xff", None, b""], ["\\x00ff", None, "\\x"]),
    "list": (pa.list_(pa.int64()), [[1, 2], None, []], ["[1,2]", None, "[]"]),
    "record": (
        pa.struct([("a", pa.int64()), ("b", pa.string())]),
        [{"a": 1, "b": "x"}, None, {"a": None, "b": ""}],
        ['{"a":1,"b":"x"}', None, '{"a":null,"b":""}'],
    ),
    "kind": (
        pa.dictionary(pa.int32(), pa.string()),
        ["red", None, "green"],
        ["red", None, "green"],
    ),
}
"""Types that an export writes as text, with the text."""


def write_types(path: Path) -> None:
    """Write three rows of every type."""
    columns = {name: pa.array(values, kind) for name, (kind, values) in KEPT.items()}
    columns |= {name: pa.array(values, kind) for name, (kind, values, _) in TEXTS.items()}
    pq.write_table(pa.table(columns), path)


def write_marked(path: Path) -> None:
    """Write rows that a test can find in the bytes of a CSV file."""
    rows = range(2000)
    table = pa.table({"id": pa.array(rows, pa.int64()), "text": [f"{MARK} {row}" for row in rows]})
    pq.write_table(table, path)


CATALOG = """
[[dataset]]
name = "flights"
files = "flights.parquet"

[[dataset]]
name = "types"
files = "types.parquet"

[[dataset]]
name = "marked"
files = "marked.parquet"
"""
