"""One WebSocket connection. It is never opened again; the session opens another one."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from ._frames import decode_frame
from ._streams import FileStream, StreamTable
from .errors import (
    ConnectionLostError,
    DeadlineError,
    ProtocolError,
    SluiceError,
    problem_error,
    status_error,
)

SUBPROTOCOL = Subprotocol("sluice.v1")
REQUEST_SECONDS = 15.0

_OPEN_SECONDS = 10.0
_CLOSE_SECONDS = 2.0
_MAX_MESSAGE = 16 * 1024 * 1024
_QUEUED_MESSAGES = 16
_ABNORMAL = 1006


class _WithoutDebug(logging.Filter):
    """Drops debug records: websockets writes headers and messages to them, and so the token."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno > logging.DEBUG


_socket_log = logging.getLogger("sluice_client.websocket")
_socket_log.setLevel(logging.INFO)
_socket_log.addFilter(_WithoutDebug())


class Connection:
    """A connection after `session.ready`."""

    def __init__(self, socket: ClientConnection, ready: dict[str, Any]) -> None:
        self.ready = ready
        self.streams: StreamTable = StreamTable(self.send)
        self.close_code: int | None = None
        self._socket = socket
        self._pending: dict[str, asyncio.Future[dict[str, Any]]] = {}
        self._last_ref = 0

    @classmethod
    async def open(cls, url: str, token: str, tls: ssl.SSLContext | None) -> Connection:
        """Connect, and wait for `session.ready`. The token goes into a header.

        Raises:
            ProblemError: The gateway refused the connection.
            ConnectionLostError: No WebSocket could be opened.
        """
        try:
            with anyio.fail_after(_OPEN_SECONDS * 2):
                socket = await connect(
                    url,
                    additional_headers={"Authorization": f"Bearer {token}"},
                    subprotocols=[SUBPROTOCOL],
                    ssl=tls,
                    compression=None,
                    max_size=_MAX_MESSAGE,
                    max_queue=_QUEUED_MESSAGES,
                    open_timeout=_OPEN_SECONDS,
                    close_timeout=_CLOSE_SECONDS,
                    logger=_socket_log,
                )
                try:
                    ready = json.loads(await socket.recv())
                except BaseException:
                    await socket.close()
                    raise
        except InvalidStatus as error:
            raise _refused(error) from error
        except (OSError, EOFError, ImportError, WebSocketException) as error:
            # ImportError: a SOCKS proxy needs another package
            raise ConnectionLostError(f"no WebSocket to {url}: {type(error).__name__}") from error
        except ValueError as error:
            raise ProtocolError("the first message of the session is no JSON") from error
        if not isinstance(ready, dict) or ready.get("type") != "session.ready":
            await socket.close()
            raise ProtocolError("the session began without `session.ready`")
        return cls(socket, ready)

    async def run(self, on_message: Callable[[dict[str, Any]], None]) -> int:
        """Receive messages until the connection ends. Returns its close code."""
        code = _ABNORMAL
        try:
            async for data in self._socket:
                if isinstance(data, bytes):
                    frame = decode_frame(data)
                    if frame:
                        self.streams.frame(frame)
                else:
                    self._handle(json.loads(data), on_message)
        except ConnectionClosed:
            pass
        except (ProtocolError, ValueError, KeyError, TypeError):
            # one malformed message spoils the connection, and not the client
            await self._socket.close(4500, "malformed message")
        finally:
            code = self._socket.close_code or code
            self.close_code = code
            self._lose(f"close code {code}")
        return code

    async def send(self, message: dict[str, Any]) -> None:
        """Send a message. A lost connection is reported to the streams and the requests."""
        with suppress(ConnectionClosed):
            await self._socket.send(json.dumps(message, allow_nan=False))

    async def request(
        self, message: dict[str, Any], answer: str, *, ref: str | None = None
    ) -> dict[str, Any]:
        """Send a message, and wait for its direct answer.

        Raises:
            ProblemError: The answer is an `error`.
            DeadlineError: There was no answer in time.
            ConnectionLostError: The connection broke.
        """
        if self.close_code is not None:
            raise ConnectionLostError("the connection is closed")
        ref = ref or self.new_ref()
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._pending[ref] = future
        try:
            with anyio.fail_after(REQUEST_SECONDS):
                await self.send({**message, "ref": ref})
                reply = await future
        except TimeoutError as error:
            text = f"no answer to {message['type']} within {REQUEST_SECONDS:.0f} s"
            raise DeadlineError(text) from error
        finally:
            self._pending.pop(ref, None)
        if reply.get("type") != answer:
            raise ProtocolError(f"{reply.get('type')} is no answer to {message['type']}")
        return reply

    async def open_file(self, message: dict[str, Any]) -> FileStream:
        """Send `file.open`, and return the stream."""
        ref = self.new_ref()
        stream = self.streams.expect(ref)
        try:
            await self.request({"type": "file.open", **message}, "file.opened", ref=ref)
            return stream.result()
        finally:
            self.streams.forget(ref)

    def new_ref(self) -> str:
        """Return a new `ref`."""
        self._last_ref += 1
        return f"r{self._last_ref}"

    async def close(self) -> None:
        """Close the connection."""
        await self._socket.close(1000, "closed by the client")

    def _handle(self, message: dict[str, Any], on_message: Callable[..., None]) -> None:
        kind = message.get("type")
        if kind == "file.opened":
            unclaimed = self.streams.opened(message)
            if unclaimed:
                unclaimed.abandon()
        elif kind == "file.sealed":
            self.streams.sealed(message)
        elif kind == "file.closed":
            self.streams.closed(message)
        future = self._pending.pop(str(message.get("ref")), None)
        if future and not future.done():
            if kind == "error":
                future.set_exception(problem_error(message.get("problem") or {}))
            else:
                future.set_result(message)
        on_message(message)

    def _lose(self, reason: str) -> None:
        error: SluiceError = ConnectionLostError(f"the connection was lost ({reason})")
        self.streams.lost(error)
        for future in self._pending.values():
            if not future.done():
                future.set_exception(error)
        self._pending.clear()


def _refused(error: InvalidStatus) -> SluiceError:
    """Create the error of an answer that is no upgrade."""
    response = error.response
    try:
        problem = json.loads(response.body or b"")
    except ValueError:
        problem = None
    if isinstance(problem, dict) and "type" in problem:
        return problem_error(problem)
    return status_error(response.status_code, response.reason_phrase)
