"""Data frames from Parquet files. The packages are optional, and imported when they are needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

FRAME_FORMAT = "parquet"
"""The format of exports that become frames: it has every type, so nothing is guessed."""


def require_polars() -> None:
    """Raise `ImportError` that names the extra, if polars is missing."""
    try:
        import polars  # noqa: F401
    except ImportError as error:
        raise _missing("polars", "polars") from error


def require_arrow() -> None:
    """Raise `ImportError` that names the extra, if pyarrow is missing."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise _missing("pyarrow", "arrow") from error


def require_pandas() -> None:
    """Raise `ImportError` that names the extra, if pandas or pyarrow is missing."""
    try:
        import pandas as pd  # noqa: F401
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise _missing("pandas and pyarrow", "pandas") from error


def polars_frame(path: Path) -> pl.DataFrame:
    """Read a Parquet file with polars."""
    import polars as pl

    return pl.read_parquet(path)


def arrow_table(path: Path) -> pa.Table:
    """Read a Parquet file with pyarrow. The table needs the file no longer.

    Texts are `large_string` with every version of pyarrow. Newer ones would read `string_view`,
    for which many functions are missing.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path, memory_map=False)
    texts = {"string", "string_view"}
    fields = [
        field.with_type(pa.large_string()) if str(field.type) in texts else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields, metadata=table.schema.metadata))


def pandas_frame(path: Path) -> pd.DataFrame:
    """Read a Parquet file into columns of `ArrowDtype`: integers with NULL stay integers."""
    import pandas as pd

    frame: pd.DataFrame = arrow_table(path).to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def _missing(packages: str, extra: str) -> ImportError:
    return ImportError(f"{packages} can't be imported: pip install 'sluice-client[{extra}]'")
