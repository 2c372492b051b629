"""The blocking client. `_async_client` has the same methods for coroutines."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from os import PathLike
from types import TracebackType
from typing import TYPE_CHECKING

from ._async_client import AsyncSluice
from ._loop_thread import LoopThread
from ._progress import ProgressOption
from ._sync_handle import Export
from ._tokens import TokenProvider
from ._transfers import SavedFile
from ._typing import Self, Unpack
from .models import Dataset, Estimate, Event
from .request import RequestOptions

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa


class Sluice:
    """A client of a Sluice gateway, for one user. Use it in `with`, or call `close`.

    It may be used by several threads. Functions that it calls, such as a token provider or a
    function for progress, run in other threads.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        token_provider: TokenProvider | None = None,
        verify: ssl.SSLContext | bool = True,
        use_socket: bool = True,
    ) -> None:
        """Create a client. `AsyncSluice` explains the arguments."""
        self._client = AsyncSluice(
            url, token=token, token_provider=token_provider, verify=verify, use_socket=use_socket
        )
        self._loop = LoopThread()

    def __repr__(self) -> str:
        """Show the gateway, and not the token."""
        return repr(self._client).replace("AsyncSluice", type(self).__name__, 1)

    def __enter__(self) -> Self:
        """Return the client."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        self.close()

    def close(self) -> None:
        """Close all connections. Exports go on."""
        if not self._loop.closed:
            self._loop.call(self._client.aclose())
            self._loop.close()

    def datasets(self) -> list[Dataset]:
        """List the datasets that the user may export."""
        return self._loop.call(self._client.datasets())

    def dataset(self, name: str) -> Dataset:
        """Fetch one dataset."""
        return self._loop.call(self._client.dataset(name))

    def estimate(
        self,
        dataset: str,
        *,
        format: str = "parquet",  # noqa: A002
        compression: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Estimate:
        """Estimate size, duration and price of an export, with its first rows, free of charge."""
        return self._loop.call(
            self._client.estimate(dataset, format=format, compression=compression, **options)
        )

    def export(
        self,
        dataset: str,
        *,
        format: str = "parquet",  # noqa: A002
        compression: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Export:
        """Create an export, and return it at once. See `AsyncSluice.export`."""
        handle = self._loop.call(
            self._client.export(
                dataset,
                format=format,
                compression=compression,
                idempotency_key=idempotency_key,
                **options,
            )
        )
        return Export(self._loop, handle)

    def get_export(self, export_id: str) -> Export:
        """Return an export of the user by its id."""
        return Export(self._loop, self._loop.call(self._client.get_export(export_id)))

    def save(
        self,
        dataset: str,
        path: str | PathLike[str],
        *,
        format: str | None = None,  # noqa: A002
        compression: str | None = None,
        overwrite: bool = False,
        progress: ProgressOption = False,
        timeout: float | None = None,
        **options: Unpack[RequestOptions],
    ) -> SavedFile:
        """Export a dataset to a file, and continue after a crash. See `AsyncSluice.save`."""
        return self._loop.call(
            self._client.save(
                dataset,
                path,
                format=format,
                compression=compression,
                overwrite=overwrite,
                progress=progress,
                timeout=timeout,
                **options,
            )
        )

    def read_polars(
        self,
        dataset: str,
        *,
        progress: ProgressOption = False,
        timeout: float | None = None,
        resume_dir: str | PathLike[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> pl.DataFrame:
        """Export a dataset into a polars frame. See `AsyncSluice.read_polars`."""
        return self._loop.call(
            self._client.read_polars(
                dataset, progress=progress, timeout=timeout, resume_dir=resume_dir, **options
            )
        )

    def read_pandas(
        self,
        dataset: str,
        *,
        progress: ProgressOption = False,
        timeout: float | None = None,
        resume_dir: str | PathLike[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> pd.DataFrame:
        """Export a dataset into a pandas frame of `ArrowDtype`. See `AsyncSluice.read_pandas`."""
        return self._loop.call(
            self._client.read_pandas(
                dataset, progress=progress, timeout=timeout, resume_dir=resume_dir, **options
            )
        )

    def read_arrow(
        self,
        dataset: str,
        *,
        progress: ProgressOption = False,
        timeout: float | None = None,
        resume_dir: str | PathLike[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> pa.Table:
        """Export a dataset into an Arrow table. See `AsyncSluice.read_arrow`."""
        return self._loop.call(
            self._client.read_arrow(
                dataset, progress=progress, timeout=timeout, resume_dir=resume_dir, **options
            )
        )

    def events(self) -> Iterator[Event]:
        """Iterate over the events of the user. See `AsyncSluice.events`."""
        return self._loop.iterate(self._client.events())
