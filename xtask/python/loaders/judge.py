"""Compares the cells that a loader gives with the rows that Sluice exported."""

import datetime as dt
import math
import re
from collections import Counter
from decimal import Decimal, InvalidOperation

from truth import COLUMNS, TEXTS

MOMENT = re.compile(r"\+?(\d{1,5})-(\d\d?)-(\d\d?)(?:[T ](\d\d?):(\d\d)(?::(\d\d)(\.\d+)?)?)?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?")
# The number of distinct differences that one line of the table names.
MOST_NAMED = 6
# Each decimal of so many digits has a double of its own, from which it can be told.
DOUBLE_DIGITS = 15


def compare(expected, got, form):
    """Says in words what differs between the expected rows and `got`, a list of lists of texts and None; empty if all cells hold."""
    if len(expected) != len(got):
        return f"{len(got):,} rows in place of {len(expected):,}"
    found = {}
    for row, cells in zip(expected, got):
        if len(cells) != len(COLUMNS):
            return f"{len(cells)} columns in place of {len(COLUMNS)}"
        for name, cell in zip(COLUMNS, cells):
            if difference := differs(name, row[name], cell, form):
                found.setdefault(difference, Counter())[name] += 1
    named = [f"{difference} (" + ", ".join(f"`{name}` {count:,}" for name, count in names.items()) + ")" for difference, names in found.items()]
    return "; ".join(named[:MOST_NAMED])


def differs(name, value, cell, form):
    """The kind of difference between a value and a cell, or None."""
    if form == "xlsx" and value == "":
        value = None
    if cell is None or (cell == "" and name not in TEXTS) or (form == "xlsx" and cell == ""):
        if value is None:
            return None
        if value == "":
            return "the empty string is NULL"
        return "NaN is NULL" if isinstance(value, float) and math.isnan(value) else "a value is NULL"
    if value is None:
        return "NULL is the empty string" if cell == "" else f"NULL is `{cell[:20]}`"
    if name in TEXTS:
        return None if cell == value else differing_text(value, cell)
    if isinstance(value, bool):
        return None if cell.lower() in (("true", "t", "1", "1.0", "yes") if value else ("false", "f", "0", "0.0", "no")) else "changed"
    if isinstance(value, (int, float, Decimal)):
        return differing_number(value, cell)
    return differing_moment(value, cell, form)


def differing_text(value, cell):
    """The kind of difference between two texts."""
    if cell.strip() == value.strip():
        return "white space at the ends is cut or added"
    if cell.replace("\r\n", "\n") == value.replace("\r\n", "\n"):
        return "line ends change"
    if cell.replace("_x000D_", "\r") == value:
        return "a carriage return is the text `_x000D_`"
    if value.isdigit():
        try:
            number = Decimal(cell)
        except InvalidOperation:
            return "another text"
        return "leading zeros are lost" if number == int(value) and value[0] == "0" else "digits are rounded" if number != int(value) else "a number's spelling"
    return "another text"


def differing_number(value, cell):
    """The kind of difference between two numbers, which may be written in any way."""
    try:
        got = Decimal(cell.replace("INF", "Infinity").replace("inf", "Infinity") if cell.lower().strip("+-") == "inf" else cell)
    except InvalidOperation:
        return "no number"
    if isinstance(value, float):
        number = float(got)
        same = math.isnan(value) if math.isnan(number) else number == value
        return None if same else "rounded" if math.isfinite(value) and math.isclose(number, value, rel_tol=1e-9) else "another number"
    if not got.is_finite():
        return "another number"
    if isinstance(value, Decimal) and significant_digits(value) <= DOUBLE_DIGITS and float(got) == float(value):
        return None
    return None if got == value else "rounded" if math.isclose(float(got), float(value), rel_tol=1e-6, abs_tol=1e-9) else "another number"


def significant_digits(value):
    """The number of digits of a decimal without zeros at the ends. `normalize` would round a decimal of more than 28 digits."""
    return len("".join(map(str, value.as_tuple().digits)).strip("0"))


def differing_moment(value, cell, form):
    """The kind of difference between two dates or moments. Workbooks keep milliseconds."""
    match = MOMENT.fullmatch(cell.strip())
    if not match:
        return "no date"
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        got = dt.datetime(int(year), int(month), int(day), int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        return "another date"
    micros = int(Decimal(fraction or 0) * 1_000_000)
    if not isinstance(value, dt.datetime):
        return None if (got, micros) == (dt.datetime.combine(value, dt.time()), 0) else "another date"
    if zone and value.tzinfo is None:
        return "a zone is added"
    if zone not in (None, "Z", "UTC", "+00", "+00:00", "+0000"):
        return "another zone"
    wall = value.replace(tzinfo=None)
    apart = abs((got - wall.replace(microsecond=0)) // dt.timedelta(microseconds=1) + micros - wall.microsecond)
    if apart == 0 or (form == "xlsx" and apart < 1000):
        return None
    return "moments are off by less than a second" if apart < 1_000_000 else "another date"
