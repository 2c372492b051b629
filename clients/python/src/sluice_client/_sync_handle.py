"""One export, for blocking code. `_handle` has the same methods for coroutines."""

from __future__ import annotations

from collections.abc import Iterator
from os import PathLike
from typing import TYPE_CHECKING

from ._handle import AsyncExport
from ._loop_thread import LoopThread
from ._progress import ProgressOption
from ._transfers import SavedFile
from .models import ExportState, Progress

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


class Export:
    """An export that runs or has ended. `Sluice.export` returns it."""

    def __init__(self, loop: LoopThread, handle: AsyncExport) -> None:
        """Wrap the export of an event loop. Applications call `Sluice.export`."""
        self._loop = loop
        self._handle = handle

    def __repr__(self) -> str:
        """Show id, dataset and status."""
        return repr(self._handle).replace("AsyncExport", type(self).__name__, 1)

    @property
    def id(self) -> str:
        """The id of the export."""
        return self._handle.id

    @property
    def state(self) -> ExportState:
        """The newest state that this object has seen. `refresh` fetches a newer one."""
        return self._handle.state

    @property
    def status(self) -> str:
        """The status in `state`, such as `running` or `completed`."""
        return self._handle.status

    def refresh(self) -> ExportState:
        """Fetch the current state."""
        return self._loop.call(self._handle.refresh())

    def wait(self, *, timeout: float | None = None) -> ExportState:
        """Wait until the export is completed. See `AsyncExport.wait`."""
        return self._loop.call(self._handle.wait(timeout=timeout))

    def cancel(self) -> ExportState:
        """Cancel the export if it runs; delete its file if it is completed."""
        return self._loop.call(self._handle.cancel())

    def __iter__(self) -> Iterator[Progress]:
        """Iterate over the progress, as `progress` does."""
        return self.progress()

    def progress(self) -> Iterator[Progress]:
        """Iterate over the progress until the export is completed. See `AsyncExport.progress`."""
        return self._loop.iterate(self._handle.progress())

    def save(
        self,
        path: str | PathLike[str],
        *,
        overwrite: bool = False,
        progress: ProgressOption = False,
        timeout: float | None = None,
    ) -> SavedFile:
        """Save the file, also while the export runs. See `AsyncExport.save`."""
        return self._loop.call(
            self._handle.save(path, overwrite=overwrite, progress=progress, timeout=timeout)
        )

    def read_polars(
        self, *, progress: ProgressOption = False, timeout: float | None = None
    ) -> pl.DataFrame:
        """Read the file as a polars frame. The format of the export must be `parquet`."""
        return self._loop.call(self._handle.read_polars(progress=progress, timeout=timeout))

    def read_pandas(
        self, *, progress: ProgressOption = False, timeout: float | None = None
    ) -> pd.DataFrame:
        """Read the file as a pandas frame with `ArrowDtype` columns."""
        return self._loop.call(self._handle.read_pandas(progress=progress, timeout=timeout))

    def read_arrow(
        self, *, progress: ProgressOption = False, timeout: float | None = None
    ) -> pa.Table:
        """Read the file as an Arrow table. The format of the export must be `parquet`."""
        return self._loop.call(self._handle.read_arrow(progress=progress, timeout=timeout))
