"""The request of an export."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any, TypedDict


class RequestOptions(TypedDict, total=False):
    """What an export may have besides its dataset. Each member is optional."""

    filter: Mapping[str, object] | None
    """The rows to export, such as `{"origin": {"eq": "SEA"}}`. Dates and decimals are allowed."""
    columns: Sequence[str] | None
    """The columns to export, in this order; all columns without it."""
    template: str | None
    """The name of a template of the dataset; `default` without it."""
    params: Mapping[str, object] | None
    """The parameters of the dataset."""
    time_zone: str | None
    """The IANA time zone of moments relative to now, such as `now/d`; `UTC` without it."""


_MEMBERS = frozenset(RequestOptions.__annotations__)

_FORMATS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
    ".arrows": "arrow",
    ".arrow": "arrow",
    ".xlsx": "xlsx",
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}


def build_request(
    dataset: str,
    options: RequestOptions,
    *,
    format: str | None = None,  # noqa: A002
    compression: str | None = None,
) -> dict[str, Any]:
    """Build the body of `POST /v1/exports`.

    Raises:
        TypeError: An option is unknown, or a value has a type that no filter has.
    """
    unknown = sorted(set(options) - _MEMBERS)
    if unknown:
        raise TypeError(
            f"an export has no option {unknown[0]!r}; the options are {sorted(_MEMBERS)}"
        )
    columns = options.get("columns")
    if isinstance(columns, str):
        raise TypeError("`columns` is a list of names, not one string")
    body: dict[str, Any] = {"dataset": dataset, "format": format, "compression": compression}
    body.update(options)
    return {name: to_json(value) for name, value in body.items() if value is not None}


def format_of_path(path: Path) -> tuple[str | None, str | None]:
    """Return the format and the compression that the name of a file states."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    compression = _COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes.pop()
    name = _FORMATS.get(suffixes[-1]) if suffixes else None
    return name, compression if name else None


def to_json(value: object) -> Any:  # noqa: PLR0911
    """Turn a value into JSON as the protocol has it.

    A `datetime` with a zone is written in UTC, and one without a zone as it is.
    """
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _special(value)
    if isinstance(value, Decimal):
        return str(value) if value.is_finite() else _special(float(value))
    if isinstance(value, datetime):
        if value.tzinfo is None:
            return value.isoformat()
        return value.astimezone(timezone.utc).replace(tzinfo=None).isoformat() + "Z"
    if isinstance(value, (date, time)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(name): to_json(member) for name, member in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [to_json(item) for item in value]
    raise TypeError(f"{type(value).__name__} has no form in a filter or parameter")


def _special(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "INF" if value > 0 else "-INF"
