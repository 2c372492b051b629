"""One download: over the WebSocket while there is one, over HTTP otherwise."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import anyio

from ._backoff import Backoff
from ._connection import Connection
from ._progress import Report
from ._rest import LONG_POLL_SECONDS, RestClient
from ._session import Session
from ._sinks import Receiver
from ._streams import Chunk, FileStream, Seal
from ._subscriptions import Message, Subscription
from ._window import MAX_WINDOW, MIN_WINDOW, ReceiveWindow
from .errors import (
    ConnectionLostError,
    FileChangedError,
    ProblemError,
    ProtocolError,
    SluiceError,
    export_error,
    is_transient,
)
from .models import ExportState, Progress

MAX_FAILURES = 10
"""After so many failures without a new byte between them, a download fails."""
MAX_RESTARTS = 5
SOCKET_SECONDS = 5.0
"""How long a download waits for a WebSocket before it uses HTTP."""

_STREAM_SECONDS = 15.0
_RESTARTED = "restarted"
_NOT_READY = "not-ready"
_OK = 200
_RANGE_BEYOND_FILE = 416

log = logging.getLogger("sluice_client")


class Announced:
    """A stream that the server opens, because the export was created with `deliver: stream`."""

    def __init__(
        self, connection: Connection, ref: str, stream: asyncio.Future[FileStream]
    ) -> None:
        self.connection = connection
        self._ref = ref
        self._stream = stream

    async def wait(self, timeout: float) -> FileStream | None:
        """Return the stream, or `None` when it did not open in time."""
        with anyio.move_on_after(timeout):
            return await asyncio.shield(self._stream)
        return None

    def forget(self) -> None:
        """Close the stream when it opens."""
        self.connection.streams.forget(self._ref)
        if self._stream.done() and not self._stream.cancelled() and not self._stream.exception():
            stream = self._stream.result()
            stream.abandon()


class Download:
    """Downloads the file of one export, and continues at the exact byte after each fault."""

    def __init__(
        self,
        rest: RestClient,
        session: Session,
        export_id: str,
        receiver: Receiver,
        *,
        announced: Announced | None = None,
        use_socket: bool = True,
        report: Report | None = None,
    ) -> None:
        self._rest = rest
        self._session = session
        self._export_id = export_id
        self._receiver = receiver
        self._announced = announced
        self._use_socket = use_socket
        self._report = report or Report(None)
        self._backoff = Backoff()
        self.restarted = False
        """Whether the file began again at byte 0."""

    async def run(self) -> Seal:
        """Run until the file is verified.

        Raises:
            SluiceError: The reason why there is no file.
        """
        with self._session.messages.open(self._concerns) as messages:
            work = asyncio.ensure_future(self._run())
            watch = asyncio.ensure_future(self._watch(messages))
            try:
                await asyncio.wait({work, watch}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    await watch  # raises when the export ended without a file
                return await work
            finally:
                work.cancel()
                watch.cancel()
                self._forget_announced()
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({work, watch})

    def _concerns(self, message: Message) -> bool:
        export = message.get("export") or {}
        return self._export_id in {message.get("export_id"), export.get("id")}

    async def _watch(self, messages: Subscription) -> None:
        """Report progress, and raise as soon as an event says that there will be no file."""
        while True:
            try:
                message = await messages.next(None)
            except SluiceError:
                return  # the session ended; the download reports its own errors
            if message and "progress" in message:
                self._report.rows(Progress.from_json(message["progress"]))
            elif message and "export" in message:
                export = message["export"]
                error = export_error(export["status"], export.get("problem"))
                if error:
                    raise error

    async def _run(self) -> Seal:
        failures = restarts = 0
        while True:
            before = self._receiver.position
            try:
                return await self._transfer()
            except ProblemError as error:
                if error.slug == _RESTARTED:
                    restarts += 1
                    await self._restart(restarts, error)
                    continue
                if error.slug != _NOT_READY and not is_transient(error):
                    raise
                delay: float | None = error.retry_after
                cause: SluiceError = error
            except SluiceError as error:
                if not is_transient(error):
                    raise
                delay, cause = None, error
            is_progress = self._receiver.position > before or (
                isinstance(cause, ProblemError) and cause.slug == _NOT_READY
            )
            failures = 0 if is_progress else failures + 1
            if failures >= MAX_FAILURES:
                raise cause
            if failures == 0:
                self._backoff.reset()
            log.info("download interrupted at byte %d: %s", self._receiver.position, cause)
            await anyio.sleep(self._backoff.next(delay))

    async def _restart(self, restarts: int, cause: SluiceError) -> None:
        if restarts > MAX_RESTARTS:
            text = f"the export began again {restarts} times; export it later"
            raise FileChangedError(text) from cause
        log.info("another attempt makes the file: the download begins again at byte 0")
        await self._restart_receiver()

    async def _restart_receiver(self) -> None:
        self.restarted = True
        await self._receiver.restart()

    async def _transfer(self) -> Seal:
        connection = await self._connection()
        if connection is None:
            self._forget_announced()
            sealed = await self._over_http()
            if sealed:
                return sealed
            connection = self._session.connection
        if connection is None:
            raise ConnectionLostError("the WebSocket was lost")
        stream = await self._open(connection)
        try:
            return await self._receive(stream, connection)
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(1):
                await stream.close()

    async def _connection(self) -> Connection | None:
        if not self._use_socket:
            return None
        try:
            return await self._session.connect(SOCKET_SECONDS)
        except SluiceError:
            return None  # HTTP reports the error, if it concerns HTTP too

    def _forget_announced(self) -> None:
        if self._announced:
            self._announced.forget()
            self._announced = None

    async def _open(self, connection: Connection) -> FileStream:
        announced = self._announced
        if announced and announced.connection is connection:
            try:
                stream = await self._wait_for_announced(announced)
                self._announced = None
                if stream:
                    return stream
            finally:
                self._forget_announced()
        message: dict[str, Any] = {
            "export_id": self._export_id,
            "offset": self._receiver.position,
            "window": MIN_WINDOW,
        }
        if self._receiver.position and self._receiver.attempt is not None:
            message["attempt"] = self._receiver.attempt
        return await connection.open_file(message)

    async def _wait_for_announced(self, announced: Announced) -> FileStream | None:
        """Wait for the stream. `None`: the export is complete, so the client opens the stream."""
        while True:
            stream = await announced.wait(_STREAM_SECONDS)
            if stream:
                return stream
            if (await self._state()).status == "completed":
                announced.forget()
                return None

    async def _receive(self, stream: FileStream, connection: Connection) -> Seal:
        if stream.offset != self._receiver.position:
            raise ProtocolError(
                f"the stream begins at {stream.offset} and not at {self._receiver.position}"
            )
        await self._receiver.begin(stream.attempt)
        if stream.size is not None:
            self._report.size(stream.size)
        high = min(MAX_WINDOW, int(connection.ready["limits"]["window_bytes"]))
        clock = asyncio.get_running_loop().time
        window = ReceiveWindow(stream.offset, clock(), high=high)
        while True:
            try:
                item = await stream.next(_STREAM_SECONDS)
            except TimeoutError:
                await self._state()  # raises when the export ended without a file
                continue
            if not isinstance(item, Chunk):
                return self._receiver.finish(item)
            await self._receiver.accept(item.offset, item.payload)
            more = window.written(self._receiver.position, clock())
            if more:
                await stream.grant(more)

    async def _state(self) -> ExportState:
        """Fetch the export. Raises when it ended without a file."""
        state = ExportState.from_json(await self._rest.export(self._export_id))
        error = export_error(state.status, state.problem)
        if error:
            raise error
        return state

    async def _over_http(self) -> Seal | None:
        """Wait for the end of the export, and fetch the rest of the file.

        Returns `None` when a WebSocket opened meanwhile: only that has bytes of a running export.
        """
        state = await self._state()
        while state.file is None:
            data = await self._rest.export(self._export_id, wait=LONG_POLL_SECONDS)
            state = ExportState.from_json(data)
            error = export_error(state.status, state.problem)
            if error:
                raise error
            if state.file is None and self._use_socket and self._session.connection:
                return None
        receiver, file = self._receiver, state.file
        self._report.size(file.size)
        is_other = receiver.position and receiver.attempt not in {None, state.attempt}
        if is_other or receiver.position > file.size:
            await self._restart_receiver()
        async with self._rest.file(
            self._export_id, offset=receiver.position, sha256=file.sha256
        ) as response:
            if response.status_code != _RANGE_BEYOND_FILE:
                if response.status_code == _OK and receiver.position:
                    # the server has another file than the received part
                    await self._restart_receiver()
                await receiver.begin(state.attempt)
                async for part in response.aiter_raw(256 * 1024):
                    await receiver.accept(receiver.position, part)
        if receiver.position < file.size:
            raise ConnectionLostError(f"the download ended at byte {receiver.position}")
        return receiver.finish(Seal(file.size, file.rows, file.sha256))
