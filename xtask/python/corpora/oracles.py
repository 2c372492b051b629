"""Compares the tables of two readers of Parquet files, as far as their types can hold the same values."""

import math

import pyarrow as pa
import pyarrow.compute as pc


def disputed(table, other):
    """The names of the columns that two readers read differently, or None if the tables have other rows or columns.

    A column that the other reader has in a type that can't hold the values, such as decimals as floats, is not disputed.
    """
    if table.num_rows != other.num_rows or table.num_columns != other.num_columns:
        return None
    pairs = zip(table.column_names, table.columns, other.columns)
    return {name for name, ours, theirs in pairs if agrees(ours, theirs) is False}


def agrees(ours, theirs):
    """Whether two columns have the same values; None if their types can't be compared."""
    ours, theirs = plain(ours), plain(theirs)
    if ours is None or theirs is None:
        return None
    if ours.null_count != theirs.null_count:
        return False
    kind, other = ours.type, theirs.type
    if pa.types.is_timestamp(kind) and pa.types.is_timestamp(other):
        if (kind.tz is None) != (other.tz is None):
            return False
        ours, theirs = coarser(ours, theirs)
    elif pa.types.is_duration(kind) and pa.types.is_integer(other):
        ours = ours.cast(pa.int64())
    elif pa.types.is_decimal(kind) and not pa.types.is_decimal(other):
        return None
    try:
        theirs = theirs.cast(ours.type)
    except pa.ArrowException:
        return None
    return ours.equals(theirs) or same_objects(ours, theirs)


def plain(column):
    """A column without extension types, dictionaries and runs; None if it can't be had."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
    if pa.types.is_dictionary(kind):
        return column.cast(kind.value_type)
    if pa.types.is_run_end_encoded(kind):
        return pa.chunked_array([pc.run_end_decode(chunk) for chunk in column.chunks], kind.value_type)
    return column


NANOS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}


def coarser(ours, theirs):
    """Both columns of timestamps as whole numbers of the coarser unit, because a reader may drop digits."""
    unit = max((ours.type.unit, theirs.type.unit), key=NANOS.get)

    def numbers(column):
        factor = NANOS[unit] // NANOS[column.type.unit]
        values = column.cast(pa.int64()).to_pylist()
        return pa.chunked_array([pa.array([None if value is None else value // factor for value in values], pa.int64())])

    return numbers(ours), numbers(theirs)


def same_objects(ours, theirs):
    """Whether two columns have the same values, where NaN equals NaN; None if Python has no values of their type."""
    try:
        return all(same(a, b) for a, b in zip(ours.to_pylist(), theirs.to_pylist()))
    except (OverflowError, ValueError):
        return None


def same(a, b):
    if isinstance(a, float) and isinstance(b, float):
        return a == b or (math.isnan(a) and math.isnan(b))
    if isinstance(a, dict) and isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    return a == b
