"""One export, for coroutines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote

import anyio

from . import _readers
from ._backoff import Backoff
from ._download import MAX_FAILURES
from ._progress import ProgressOption
from ._rest import LONG_POLL_SECONDS
from ._state_file import SaveState
from ._threads import in_thread
from ._transfers import SavedFile, Transfers, deadline, temporary_file
from .errors import SluiceError, export_error, is_transient
from .models import ExportState, Progress

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

T = TypeVar("T")

_SOCKET_SECONDS = 5.0
_POLL_SECONDS = 15.0
_POLL_SECONDS_WITHOUT_SOCKET = 1.0


class AsyncExport:
    """An export that runs or has ended. `AsyncSluice.export` returns it."""

    def __init__(self, transfers: Transfers, state: ExportState) -> None:
        """Wrap the state of an export. Applications call `AsyncSluice.export`."""
        self._transfers = transfers
        self._state = state

    def __repr__(self) -> str:
        """Show id, dataset and status."""
        state = self._state
        return f"<{type(self).__name__} {state.id} of {state.dataset!r}: {state.status}>"

    @property
    def id(self) -> str:
        """The id of the export."""
        return self._state.id

    @property
    def state(self) -> ExportState:
        """The newest state that this object has seen. `refresh` fetches a newer one."""
        return self._state

    @property
    def status(self) -> str:
        """The status in `state`, such as `running` or `completed`."""
        return self._state.status

    async def refresh(self) -> ExportState:
        """Fetch the current state."""
        return self._see(ExportState.from_json(await self._transfers.rest.export(self.id)))

    async def wait(self, *, timeout: float | None = None) -> ExportState:
        """Wait until the export is completed, also through outages of the gateway.

        Raises:
            ExportFailedError: The export failed; `slug` and `detail` say why.
            ExportCanceledError: The export was canceled.
            DeadlineError: It was not completed within `timeout` seconds.
        """
        backoff = Backoff()
        with deadline(timeout, "the export still runs"):
            while not self._state.ended:
                try:
                    data = await self._transfers.rest.export(self.id, wait=LONG_POLL_SECONDS)
                    self._see(ExportState.from_json(data))
                    backoff.reset()
                except SluiceError as error:
                    if not is_transient(error) or backoff.attempt + 1 >= MAX_FAILURES:
                        raise
                    await anyio.sleep(backoff.next(getattr(error, "retry_after", None)))
        self._raise_if_without_file()
        return self._state

    async def cancel(self) -> ExportState:
        """Cancel the export if it runs; delete its file if it is completed."""
        path = f"/v1/exports/{quote(self.id, safe='')}"
        return self._see(ExportState.from_json(await self._transfers.rest.json("DELETE", path)))

    def __aiter__(self) -> AsyncIterator[Progress]:
        """Iterate over the progress, as `progress` does."""
        return self.progress()

    async def progress(self) -> AsyncIterator[Progress]:
        """Iterate over the progress until the export is completed.

        Raises:
            ExportFailedError: The export failed.
            ExportCanceledError: The export was canceled.
        """
        session = self._transfers.session
        with session.messages.open(self._concerns) as messages:
            try:
                connection = await session.connect(_SOCKET_SECONDS)
            except SluiceError:
                connection = None
            await self.refresh()
            while not self._state.ended:
                yield self._state.progress
                seconds = _POLL_SECONDS if connection else _POLL_SECONDS_WITHOUT_SOCKET
                try:
                    message = await messages.next(seconds)
                except SluiceError:
                    connection = None  # the session ended; polls go on
                    await anyio.sleep(_POLL_SECONDS_WITHOUT_SOCKET)
                    message = None
                if message and "progress" in message:
                    progress = Progress.from_json(message["progress"])
                    self._see(self._state.with_progress(progress))
                elif message and "export" in message:
                    self._see(ExportState.from_json(message["export"]))
                else:
                    await self._poll()
        self._raise_if_without_file()
        yield self._state.progress

    async def save(
        self,
        path: str | PathLike[str],
        *,
        overwrite: bool = False,
        progress: ProgressOption = False,
        timeout: float | None = None,
    ) -> SavedFile:
        """Save the file, also while the export runs.

        The bytes go to `path.part`. The file gets its name after its size and SHA-256 are verified.
        The next call with the same export and path continues at the end of the part.

        Raises:
            FileExistsError: The file exists, and `overwrite` is false.
            DigestError: The received bytes are not the file. The part is deleted.
            ExportFailedError: The export failed.
            DeadlineError: The file was not complete within `timeout` seconds. The part stays.
        """
        wanted = SaveState(self._transfers.rest.base_url, None, key="", export_id=self.id)
        return await self._transfers.save(
            Path(path), wanted, overwrite=overwrite, progress=progress, timeout=timeout
        )

    async def read_polars(
        self, *, progress: ProgressOption = False, timeout: float | None = None
    ) -> pl.DataFrame:
        """Read the file as a polars frame. The format of the export must be `parquet`."""
        _readers.require_polars()
        return await self._read(_readers.polars_frame, progress, timeout)

    async def read_pandas(
        self, *, progress: ProgressOption = False, timeout: float | None = None
    ) -> pd.DataFrame:
        """Read the file as a pandas frame with `ArrowDtype` columns.

        The format of the export must be `parquet`.
        """
        _readers.require_pandas()
        return await self._read(_readers.pandas_frame, progress, timeout)

    async def read_arrow(
        self, *, progress: ProgressOption = False, timeout: float | None = None
    ) -> pa.Table:
        """Read the file as an Arrow table. The format of the export must be `parquet`."""
        _readers.require_arrow()
        return await self._read(_readers.arrow_table, progress, timeout)

    async def _read(
        self, reader: Callable[[Path], T], progress: ProgressOption, timeout: float | None
    ) -> T:
        if self._state.format != _readers.FRAME_FORMAT:
            raise ValueError(
                f"this export is {self._state.format}: "
                f"a frame needs format={_readers.FRAME_FORMAT!r} when the export is created"
            )
        async with temporary_file() as path:
            await self.save(path, progress=progress, timeout=timeout)
            return await in_thread(reader, path)

    def _concerns(self, message: dict[str, object]) -> bool:
        export = message.get("export")
        named = export.get("id") if isinstance(export, dict) else message.get("export_id")
        return named == self.id or message.get("type") == "client.resync"

    async def _poll(self) -> None:
        try:
            await self.refresh()
        except SluiceError as error:
            if not is_transient(error):
                raise

    def _see(self, state: ExportState) -> ExportState:
        self._state = state
        return state

    def _raise_if_without_file(self) -> None:
        error = export_error(self._state.status, self._state.problem)
        if error:
            raise error
