"""Downloads from a server that does what a real one does only when an exporter crashes."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from memory_sink import MemorySink
from websockets.asyncio.server import ServerConnection, serve
from websockets.typing import Subprotocol

from sluice_client import FileChangedError, ProtocolError, SluiceError
from sluice_client._download import MAX_RESTARTS, Download
from sluice_client._frames import encode_frame
from sluice_client._rest import RestClient
from sluice_client._session import Session
from sluice_client._sinks import Receiver
from sluice_client._streams import Seal
from sluice_client._tokens import TokenSource

READY = {
    "type": "session.ready",
    "epoch": "e",
    "seq": 0,
    "token_expires_at": "2999-01-01T00:00:00.000Z",
    "limits": {"window_bytes": 1048576},
}
RESTARTED = {"type": "/problems/restarted", "title": "Another attempt", "status": 409}

Open = dict[str, Any]
Answer = Callable[["Stream", Open], Awaitable[None]]


class Stream:
    """The server's side of one stream."""

    def __init__(self, socket: ServerConnection, number: int) -> None:
        self._socket = socket
        self._number = number

    async def opened(self, message: Open, attempt: int) -> None:
        await self._send(
            "file.opened",
            ref=message["ref"],
            export_id="x",
            offset=message["offset"],
            attempt=attempt,
        )

    async def data(self, offset: int, payload: bytes) -> None:
        await self._socket.send(encode_frame(self._number, offset, payload))

    async def sealed(self, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        await self._send("file.sealed", size=len(content), rows=1, sha256=digest)

    async def closed(self, problem: dict[str, Any] | None) -> None:
        await self._send("file.closed", problem=problem)

    async def drop(self) -> None:
        await self._socket.close(1001)

    async def _send(self, kind: str, **members: object) -> None:
        await self._socket.send(json.dumps({"type": kind, "stream": self._number, **members}))


@asynccontextmanager
async def server(answers: list[Answer], opened: list[Open]) -> AsyncIterator[str]:
    """A server that answers each `file.open` with the next function."""
    count = 0

    async def handle(socket: ServerConnection) -> None:
        nonlocal count
        await socket.send(json.dumps(READY))
        async for data in socket:
            message = json.loads(data)
            if message["type"] == "file.open":
                opened.append(message)
                answer = answers[min(count, len(answers) - 1)]
                count += 1
                await answer(Stream(socket, count), message)
            elif message["type"] == "session.resume":
                reply = {"type": "session.resumed", "recovered": True, "replayed": 0}
                await socket.send(json.dumps({**reply, "ref": message["ref"]}))

    async with serve(handle, "127.0.0.1", 0, subprotocols=[Subprotocol("sluice.v1")]) as running:
        yield f"http://127.0.0.1:{next(iter(running.sockets)).getsockname()[1]}"


def download(answers: list[Answer]) -> tuple[Seal | SluiceError, MemorySink, list[Open]]:
    """Download from a server, and return the end, the sink and the messages `file.open`."""
    sink, opened = MemorySink(), list[Open]()

    async def run() -> Seal | SluiceError:
        async with server(answers, opened) as url:
            tokens = TokenSource("t", None)
            rest = RestClient(url, tokens, _no_tls())
            session = Session(rest.websocket_url(), tokens, None)
            try:
                return await Download(rest, session, "x", Receiver(sink)).run()
            except SluiceError as error:
                return error
            finally:
                await session.aclose()
                await rest.aclose()

    return asyncio.run(asyncio.wait_for(run(), 60)), sink, opened


def _no_tls() -> Any:
    import ssl

    return ssl.create_default_context()


async def begins_again(stream: Stream, message: Open) -> None:
    """An attempt that ends with `restarted`."""
    await stream.opened(message, attempt=1)
    await stream.data(message["offset"], b"old bytes")
    await stream.closed(RESTARTED)


async def whole(stream: Stream, message: Open) -> None:
    """The rest of the file, by the second attempt."""
    await stream.opened(message, attempt=2)
    await stream.data(message["offset"], b"new bytes of it"[message["offset"] :])
    await stream.sealed(b"new bytes of it")


async def breaks(stream: Stream, message: Open) -> None:
    """Some bytes, and the end of the connection."""
    await stream.opened(message, attempt=2)
    await stream.data(message["offset"], b"new bytes of it"[message["offset"] :][:4])
    await stream.drop()


async def ends_early(stream: Stream, message: Open) -> None:
    """Some bytes, and the end of the stream."""
    await stream.opened(message, attempt=2)
    await stream.data(message["offset"], b"new bytes of it"[message["offset"] :][:2])
    await stream.closed({"type": "/problems/unavailable", "title": "No byte", "status": 503})


async def has_a_gap(stream: Stream, message: Open) -> None:
    """Bytes that do not follow."""
    await stream.opened(message, attempt=1)
    await stream.data(message["offset"] + 1, b"bytes")


def test_bytes_of_two_attempts_never_mix() -> None:
    end, sink, opened = download([begins_again, begins_again, whole])
    assert isinstance(end, Seal)
    assert sink.data == b"new bytes of it"
    assert sink.attempts == [1, 1, 2]
    assert [message["offset"] for message in opened] == [0, 0, 0]


def test_a_file_that_begins_again_and_again_is_given_up() -> None:
    end, _, opened = download([begins_again])
    assert isinstance(end, FileChangedError)
    assert len(opened) == MAX_RESTARTS + 1


def test_a_broken_connection_continues_with_its_attempt() -> None:
    end, sink, opened = download([breaks, ends_early, whole])
    assert isinstance(end, Seal)
    assert sink.data == b"new bytes of it"
    places = [(message["offset"], message.get("attempt")) for message in opened]
    assert places == [(0, None), (4, 2), (6, 2)]


def test_a_gap_is_no_file() -> None:
    end, sink, _ = download([has_a_gap])
    assert isinstance(end, ProtocolError)
    assert sink.data == b""
