"""The client for coroutines."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx

from . import _readers
from ._handle import AsyncExport
from ._progress import ProgressOption
from ._rest import RestClient
from ._session import Session, resync_error
from ._state_file import SaveState
from ._threads import in_thread
from ._tokens import TokenProvider, TokenSource
from ._transfers import SavedFile, Transfers, frame_file, new_key
from ._typing import Self, Unpack
from .errors import ConnectionLostError
from .models import Dataset, Estimate, Event, ExportState
from .request import RequestOptions, build_request, format_of_path

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

T = TypeVar("T")

_SOCKET_SECONDS = 30.0


class AsyncSluice:
    """A client of a Sluice gateway, for one user. Use it in `async with`, or call `aclose`."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        token_provider: TokenProvider | None = None,
        verify: ssl.SSLContext | bool = True,
        use_socket: bool = True,
    ) -> None:
        """Create a client. It connects at the first call.

        Args:
            url: The address of the gateway, such as `https://exports.example.com`.
            token: A bearer token. It is valid until it expires; then calls fail.
            token_provider: A function, or coroutine function, that returns a token. Its argument
                is true when the last token was refused or expires soon. It is called for each
                request, so it should keep a token that is still valid.
            verify: An `ssl.SSLContext` for a private certificate authority, or false to accept any
                certificate, which only tests should do.
            use_socket: Whether to receive files over a WebSocket while the export runs. Without it,
                files come over HTTP when the export is complete.
        """
        tokens = TokenSource(token, token_provider)
        tls = verify if isinstance(verify, ssl.SSLContext) else httpx.create_ssl_context(verify)
        rest = RestClient(url, tokens, tls)
        is_secure = rest.base_url.startswith("https:")
        session = Session(rest.websocket_url(), tokens, tls if is_secure else None)
        self._rest = rest
        self._session = session
        self._transfers = Transfers(rest, session, use_socket=use_socket)

    def __repr__(self) -> str:
        """Show the gateway, and not the token."""
        return f"<{type(self).__name__} of {self._rest.base_url}>"

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the client."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections. Exports go on."""
        await self._session.aclose()
        await self._rest.aclose()

    async def datasets(self) -> list[Dataset]:
        """List the datasets that the user may export."""
        answer = await self._rest.json("GET", "/v1/datasets")
        return [Dataset.from_json(item) for item in answer["items"]]

    async def dataset(self, name: str) -> Dataset:
        """Fetch one dataset."""
        return Dataset.from_json(
            await self._rest.json("GET", f"/v1/datasets/{quote(name, safe='')}")
        )

    async def estimate(
        self,
        dataset: str,
        *,
        format: str = "parquet",  # noqa: A002
        compression: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> Estimate:
        """Estimate size, duration and price of an export, with its first rows, free of charge."""
        body = build_request(dataset, options, format=format, compression=compression)
        return Estimate.from_json(await self._rest.json("POST", "/v1/exports/estimate", body=body))

    async def export(
        self,
        dataset: str,
        *,
        format: str = "parquet",  # noqa: A002
        compression: str | None = None,
        idempotency_key: str | None = None,
        **options: Unpack[RequestOptions],
    ) -> AsyncExport:
        """Create an export, and return it at once.

        Args:
            dataset: The name of a dataset.
            format: The format of the file. `parquet` has all types.
            compression: The compression, such as `gzip`, where the format has one.
            idempotency_key: Calls with the same key and request return the same export.
            **options: See `RequestOptions`.

        Raises:
            ProblemError: The gateway refused the request; `errors` names each invalid member.
        """
        body = build_request(dataset, options, format=format, compression=compression)
        state = await self._transfers.create(body, idempotency_key or new_key())
        return AsyncExport(self._transfers, state)

    async def get_export(self, export_id: str) -> AsyncExport:
        """Return an export of the user by its id."""
        state = ExportState.from_json(await self._rest.export(export_id))
        return AsyncExport(self._transfers, state)

    async def save(
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
        """Export a dataset to a file.

        The bytes go to `path.part` while the export runs. The file gets its name after its size and
        SHA-256 are verified. After a crash, the same call continues the same export at the end of
        the part; another request begins a new export.

        Args:
            dataset: The name of a dataset.
            path: The file. Its name states the format (`flights.csv.gz`), unless `format` does.
            format: The format of the file.
            compression: The compression of the file.
            overwrite: Whether to replace a file that exists.
            progress: `True` for a bar (extra `progress`), or a function.
            timeout: A deadline in seconds. The part stays, so a later call continues.
            **options: See `RequestOptions`.

        Raises:
            FileExistsError: The file exists, and `overwrite` is false.
            DigestError: The received bytes are not the file. The part is deleted.
            ExportFailedError: The export failed.
            DeadlineError: The file was not complete in time.
        """
        target = Path(path)
        if format is None:
            format, found = format_of_path(target)  # noqa: A001
            compression = compression or found
            if format is None:
                raise ValueError(f"the name {target.name!r} states no format: pass `format`")
        body = build_request(dataset, options, format=format, compression=compression)
        wanted = SaveState(self._rest.base_url, body, new_key())
        return await self._transfers.save(
            target, wanted, overwrite=overwrite, progress=progress, timeout=timeout
        )

    async def read_polars(
        self,
        dataset: str,
        *,
        progress: ProgressOption = False,
        timeout: float | None = None,
        resume_dir: str | PathLike[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> pl.DataFrame:
        """Export a dataset into a polars frame, by way of Parquet.

        Args:
            dataset: The name of a dataset.
            progress: `True` for a bar (extra `progress`), or a function.
            timeout: A deadline in seconds.
            resume_dir: A folder that keeps the unfinished file, so that the same call continues
                after a crash. The file is deleted when the frame is complete.
            **options: See `RequestOptions`.
        """
        _readers.require_polars()
        return await self._read(
            _readers.polars_frame, dataset, progress, timeout, resume_dir, options
        )

    async def read_pandas(
        self,
        dataset: str,
        *,
        progress: ProgressOption = False,
        timeout: float | None = None,
        resume_dir: str | PathLike[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> pd.DataFrame:
        """Export a dataset into a pandas frame, by way of Parquet.

        The columns have `ArrowDtype` (the dtype backend `pyarrow`), so integers with NULL stay
        integers, and decimals and dates stay what they are. The arguments are those of
        `read_polars`.
        """
        _readers.require_pandas()
        return await self._read(
            _readers.pandas_frame, dataset, progress, timeout, resume_dir, options
        )

    async def read_arrow(
        self,
        dataset: str,
        *,
        progress: ProgressOption = False,
        timeout: float | None = None,
        resume_dir: str | PathLike[str] | None = None,
        **options: Unpack[RequestOptions],
    ) -> pa.Table:
        """Export a dataset into an Arrow table. The arguments are those of `read_polars`."""
        _readers.require_arrow()
        return await self._read(
            _readers.arrow_table, dataset, progress, timeout, resume_dir, options
        )

    async def events(self) -> AsyncIterator[Event]:
        """Iterate over the events of the user's exports and credits, and over progress.

        The client delivers each numbered event once, also across reconnects.

        Raises:
            EventsLostError: Events were lost, so fetch the state of your exports again.
        """
        with self._session.messages.open(_is_event) as messages:
            if await self._session.connect(_SOCKET_SECONDS) is None:
                raise ConnectionLostError("events need a WebSocket, and none can be opened")
            while True:
                message = await messages.next(None)
                if message and message["type"] == "client.resync":
                    raise resync_error()
                if message:
                    yield Event.from_json(message)

    async def _read(
        self,
        reader: Callable[[Path], T],
        dataset: str,
        progress: ProgressOption,
        timeout: float | None,
        resume_dir: str | PathLike[str] | None,
        options: RequestOptions,
    ) -> T:
        body = build_request(dataset, options, format=_readers.FRAME_FORMAT)
        wanted = SaveState(self._rest.base_url, body, new_key())
        async with frame_file(resume_dir, wanted) as path:
            await self._transfers.save(
                path, wanted, overwrite=True, progress=progress, timeout=timeout
            )
            return await in_thread(reader, path)


def _is_event(message: dict[str, Any]) -> bool:
    kind = str(message.get("type"))
    return kind.startswith(("export.", "credits.", "client.")) and kind != "export.accepted"
