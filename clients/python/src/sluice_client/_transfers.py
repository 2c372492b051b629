"""Creates exports, and saves their files."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import anyio

from ._backoff import Backoff
from ._download import SOCKET_SECONDS, Announced, Download
from ._part_file import PartFile
from ._progress import ProgressOption, Report, check_progress, reporting
from ._rest import RestClient
from ._session import Session
from ._sinks import Receiver
from ._state_file import SaveState
from ._threads import in_thread
from ._window import MIN_WINDOW
from .errors import (
    DeadlineError,
    DigestError,
    ExportCanceledError,
    ExportFailedError,
    FileExpiredError,
    NotFoundError,
    ProblemError,
    SluiceError,
    export_error,
    is_transient,
)
from .models import ExportState

_TRIES = 5
_CONFLICT = 409

T = TypeVar("T")

Created = tuple[ExportState, "Announced | None"]


@dataclass(frozen=True)
class SavedFile:
    """A file that was saved and verified."""

    path: Path
    export_id: str
    size: int
    """The size in bytes."""
    rows: int
    """The number of data rows."""
    sha256: str
    """The SHA-256 in lower-case hex, which was computed and compared."""
    resumed_from: int
    """The offset at which this run continued; 0 for a file that it received as a whole."""


class Transfers:
    """The work behind `export` and `save`."""

    def __init__(self, rest: RestClient, session: Session, *, use_socket: bool) -> None:
        self.rest = rest
        self.session = session
        self._use_socket = use_socket

    async def create(self, request: dict[str, Any], key: str) -> ExportState:
        """Create an export over REST. Tries with the same key cost one export."""
        headers = {"idempotency-key": key}
        data = await retry(
            lambda: self.rest.json("POST", "/v1/exports", body=request, headers=headers)
        )
        return ExportState.from_json(data)

    async def create_streaming(self, request: dict[str, Any], key: str) -> Created:
        """Create an export whose file the server sends by itself, if there is a WebSocket."""
        connection = None
        if self._use_socket:
            try:
                connection = await self.session.connect(SOCKET_SECONDS)
            except SluiceError:
                connection = None  # REST reports the error
        if connection is None:
            return await self.create(request, key), None
        ref = connection.new_ref()
        announced = Announced(connection, ref, connection.streams.expect(ref))
        message = {
            "type": "export.create",
            **request,
            "idempotency_key": key,
            "deliver": "stream",
            "window": MIN_WINDOW,
        }
        try:
            answer = await connection.request(message, "export.accepted", ref=ref)
            return ExportState.from_json(answer["export"]), announced
        except BaseException as error:
            announced.forget()
            if not isinstance(error, SluiceError) or not is_transient(error):
                raise
        return await self.create(request, key), None

    async def save(
        self,
        path: Path,
        wanted: SaveState,
        *,
        overwrite: bool,
        progress: ProgressOption,
        timeout: float | None,
    ) -> SavedFile:
        """Save the file of a new export, or of the one that the part at the path belongs to."""
        check_progress(progress)
        part = await in_thread(lambda: PartFile(path, overwrite=overwrite))
        try:
            with deadline(timeout, f"{path} is not complete; run it again to continue"):
                saved = await self._save(part, wanted, progress)
            return replace(saved, path=path)
        except (DigestError, ExportFailedError, ExportCanceledError, FileExpiredError):
            part.discard()  # it can't become the file
            raise
        finally:
            if not part.closed:
                part.close_unused()

    async def _save(self, part: PartFile, wanted: SaveState, progress: ProgressOption) -> SavedFile:
        resumed = await in_thread(part.resume, wanted)
        if wanted.request is None or not resumed:
            return await self._transfer(part, wanted, progress)
        earlier = part.known_state().export_id
        if earlier is None or await self._is_usable(earlier):
            with suppress(FileExpiredError, NotFoundError):  # its file is deleted just now
                return await self._transfer(part, wanted, progress)
        await in_thread(part.begin, wanted)
        return await self._transfer(part, wanted, progress)

    async def _transfer(
        self, part: PartFile, wanted: SaveState, progress: ProgressOption
    ) -> SavedFile:
        """Receive the rest of the part, and give it its name."""
        state, announced = part.known_state(), None
        try:
            if state.export_id is None:
                export, announced = await self.create_streaming(wanted.request or {}, state.key)
                await in_thread(part.set_export, export.id)
            with reporting(progress, part.target.name) as report:
                return await self._receive(part, announced, report)
        finally:
            if announced:
                announced.forget()

    async def _receive(
        self, part: PartFile, announced: Announced | None, report: Report
    ) -> SavedFile:
        state = part.known_state()
        export_id = state.export_id or ""
        offset, digest = await in_thread(part.rehash)
        receiver = Receiver(
            part,
            position=offset,
            attempt=state.attempt,
            digest=digest,
            on_bytes=report.received,
        )
        report.received(offset)
        download = Download(
            self.rest,
            self.session,
            export_id,
            receiver,
            announced=announced,
            use_socket=self._use_socket,
            report=report,
        )
        seal = await download.run()
        await in_thread(part.finish)
        return SavedFile(
            path=part.target,
            export_id=export_id,
            size=seal.size,
            rows=seal.rows,
            sha256=seal.sha256,
            resumed_from=0 if download.restarted else offset,
        )

    async def _is_usable(self, export_id: str) -> bool:
        """Whether an export of an earlier run has a file, or may still get one."""
        try:
            data = await retry(lambda: self.rest.export(export_id))
        except NotFoundError:
            return False
        state = ExportState.from_json(data)
        return export_error(state.status, state.problem) is None


async def retry(call: Callable[[], Awaitable[T]]) -> T:
    """Repeat a call after faults that another try may solve, a few times."""
    backoff = Backoff()
    while True:
        try:
            return await call()
        except SluiceError as error:
            is_running = isinstance(error, ProblemError) and error.status == _CONFLICT
            if backoff.attempt + 1 >= _TRIES or not (is_running or is_transient(error)):
                raise
            await anyio.sleep(backoff.next(getattr(error, "retry_after", None)))


@asynccontextmanager
async def frame_file(
    resume_dir: str | PathLike[str] | None, wanted: SaveState
) -> AsyncIterator[Path]:
    """Give the path of a file that becomes a frame: a temporary one, or one that can be resumed.

    In a folder of the caller it has the same name for the same request, and is deleted when the
    block ends well. An unfinished part stays.
    """
    if resume_dir is None:
        async with temporary_file() as path:
            yield path
        return
    text = json.dumps([wanted.gateway, wanted.request], sort_keys=True)
    name = f"sluice-{hashlib.sha256(text.encode()).hexdigest()[:16]}.parquet"
    path = Path(resume_dir) / name
    yield path
    await in_thread(path.unlink)


@asynccontextmanager
async def temporary_file() -> AsyncIterator[Path]:
    """Give the path of a file in a new folder, which is deleted afterwards."""
    folder = await in_thread(lambda: TemporaryDirectory(prefix="sluice-"))
    try:
        yield Path(folder.name) / "export.parquet"
    finally:
        with anyio.CancelScope(shield=True):
            await in_thread(folder.cleanup)


@contextmanager
def deadline(timeout: float | None, text: str) -> Iterator[None]:
    """Raise `DeadlineError` when the block takes longer than `timeout` seconds."""
    try:
        with anyio.fail_after(timeout):
            yield
    except DeadlineError:
        raise
    except TimeoutError as error:
        raise DeadlineError(f"the deadline of {timeout:g} s is over: {text}") from error


def new_key() -> str:
    """Return a new idempotency key."""
    return uuid.uuid4().hex
