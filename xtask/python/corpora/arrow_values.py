"""Compares values of Arrow tables with the lines of an NDJSON file that Sluice wrote."""

import json
import math
import re
import struct
from decimal import Decimal

import pyarrow as pa


def same(kind, value, got):
    """Whether a JSON value of Sluice is this value of an Arrow type."""
    if not value.is_valid:
        return got is None
    if isinstance(kind, pa.BaseExtensionType):
        return same(kind.storage_type, value.value, got)
    if pa.types.is_dictionary(kind):
        return same(kind.value_type, value.value, got)
    if pa.types.is_run_end_encoded(kind):
        return same(kind.value_type, value.value, got)
    if got is None:
        return False
    if pa.types.is_boolean(kind):
        return got is value.as_py()
    if pa.types.is_floating(kind):
        return same_float(value.as_py(), got, kind)
    if pa.types.is_integer(kind):
        return str(value.as_py()) == str(got)
    if pa.types.is_decimal(kind):
        return Decimal(str(got)) == value.as_py()
    if pa.types.is_temporal(kind):
        return same_time(kind, value, str(got))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return value.as_py() == got
    if is_binary(kind):
        data = value.as_py()
        return got == "\\x" + data.hex() or (isinstance(got, str) and got.encode() == data) or same_uuid(data, got)
    if pa.types.is_nested(kind):
        return same_nested(kind, value, json.loads(got, parse_float=Raw, parse_int=Raw) if isinstance(got, str) else got)
    raise NotImplementedError(str(kind))


def matches(kind, value, got):
    """Like `same`, where a text that is no value of the type differs."""
    try:
        return same(kind, value, got)
    except (ValueError, ArithmeticError, AttributeError, TypeError):
        return False


class Raw(str):
    """A number as it is written."""


def is_binary(kind):
    checks = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
    return any(check(kind) for check in checks)


def same_uuid(data, got):
    return isinstance(got, str) and len(data) == 16 and got.replace("-", "") == data.hex()


def same_float(value, got, kind):
    special = {"NaN": math.nan, "INF": math.inf, "-INF": -math.inf}
    number = special.get(got, None) if isinstance(got, str) and got in special else float(got)
    if pa.types.is_float32(kind) and math.isfinite(number):
        number = struct.unpack("f", struct.pack("f", number))[0]
    if math.isnan(value):
        return math.isnan(number)
    return value == number and math.copysign(1, value) == math.copysign(1, number)


UNITS = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
DAY = 86_400


def same_time(kind, value, got):
    """Compares dates, times and timestamps as exact fractions of seconds."""
    if pa.types.is_duration(kind):
        return duration(got) == Decimal(value.value) / UNITS[kind.unit]
    if pa.types.is_date32(kind):
        return seconds_of_date(got) == value.value * DAY
    if pa.types.is_date64(kind):
        return seconds_of_date(got) * 1000 == value.value
    if pa.types.is_time(kind):
        return time_of_day(got) == Decimal(value.value) / UNITS[kind.unit]
    if pa.types.is_timestamp(kind):
        # a moment in UTC ends with Z, and a local one does not
        if got.endswith("Z") != (kind.tz is not None):
            return False
        text = got.removesuffix("Z")
        date, _, time = text.partition("T")
        return seconds_of_date(date) + time_of_day(time) == Decimal(value.value) / UNITS[kind.unit]
    return False


def seconds_of_date(text):
    """Seconds since 1970 of a date whose year may have a sign and more than four digits (ISO 8601)."""
    year, month, day = re.fullmatch(r"([+-]?\d{4,})-(\d\d)-(\d\d)", text).groups()
    year, month, day = int(year), int(month), int(day)
    shifted = year - (month <= 2)
    era = shifted // 400
    of_era = shifted - era * 400
    of_year = (153 * (month + (-3 if month > 2 else 9)) + 2) // 5 + day - 1
    days = era * 146_097 + of_era * 365 + of_era // 4 - of_era // 100 + of_year - 719_468
    return Decimal(days * DAY)


def duration(text):
    """Seconds of a duration in ISO 8601 without years and months."""
    sign, *parts = re.fullmatch(r"(-?)P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?", text).groups()
    days, hours, minutes, seconds = (Decimal(part or 0) for part in parts)
    return (-1 if sign else 1) * (days * DAY + hours * 3600 + minutes * 60 + seconds)


def time_of_day(text):
    hours, minutes, seconds = (text.split(":") + ["0", "0"])[:3]
    return Decimal(hours) * 3600 + Decimal(minutes) * 60 + Decimal(seconds)


def same_nested(kind, value, got):
    if pa.types.is_struct(kind):
        fields = [kind.field(at) for at in range(kind.num_fields)]
        return isinstance(got, dict) and all(same_part(f.type, value[i], got.get(f.name)) for i, f in enumerate(fields))
    if pa.types.is_map(kind):
        pairs = list(zip(value.values.field(0), value.values.field(1)))
        if isinstance(got, dict):
            return len(got) == len(pairs) and all(same_part(kind.item_type, v, got.get(str(k.as_py()))) for k, v in pairs)
        entries = [tuple(entry.values()) if isinstance(entry, dict) else tuple(entry) for entry in got]
        return len(entries) == len(pairs) and all(
            same_part(kind.key_type, k, a) and same_part(kind.item_type, v, b) for (k, v), (a, b) in zip(pairs, entries)
        )
    items = list(value.values)
    return isinstance(got, list) and len(got) == len(items) and all(
        same_part(kind.value_type, item, part) for item, part in zip(items, got)
    )


def same_part(kind, value, got):
    if isinstance(kind, pa.BaseExtensionType) and value.is_valid:
        return same_part(kind.storage_type, value.value, got)
    if pa.types.is_nested(kind) and value.is_valid:
        return got is not None and same_nested(kind, value, got)
    return same(kind, value, got)


def storage(column):
    """The values of an extension type are those of its storage type."""
    kind = column.type
    if isinstance(kind, pa.BaseExtensionType):
        return pa.chunked_array([chunk.storage for chunk in column.chunks], kind.storage_type)
    return column


def differences(wanted, text, said, names, disputed=frozenset()):
    """Returns the first difference between a table and the lines of Sluice; None if there is none.

    `names` are the columns of the export, also if it has no rows. Values of the columns in `disputed` are not compared.
    """
    lines = [json.loads(line, parse_float=Raw, parse_int=Raw, object_pairs_hook=list) for line in text.split("\n") if line]
    if len(lines) != wanted.num_rows:
        return f"{len(lines)} rows instead of {wanted.num_rows}"
    missing = [name for name in wanted.column_names if name not in names]
    unsaid = [name for name in missing if f"`{name}`" not in said]
    by_place = len(names) == wanted.num_columns
    if unsaid and not by_place:
        return f"the column {unsaid[0]!r} is missing without a word"
    renamed = [name for name in missing if name in unsaid]
    if renamed:
        return f"the column {renamed[0]!r} has another name without a word"
    extra = [name for name in names if name not in wanted.column_names]
    if extra and not by_place:
        return f"the column {extra[0]!r} is in no reader's table"
    for at, name in enumerate(wanted.column_names):
        if name in disputed or (not by_place and name not in names):
            continue
        place = at if by_place else names.index(name)
        column = storage(wanted.column(at))
        for row, value in enumerate(column):
            if not matches(column.type, value, lines[row][place][1]):
                got = lines[row][place][1]
                return f"column {name!r} ({column.type}), row {row + 1}: {shown(value)} became {got!r}"[:300]
    return None


def shown(value):
    """A value as Python shows it, or as Arrow does, if Python has no type for the value or for a member of it."""
    try:
        return repr(value)
    except (OverflowError, ValueError):
        return " ".join(str(pa.repeat(value, 1)).split())
