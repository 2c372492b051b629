"""File streams of one connection."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import anyio

from ._frames import FileFrame
from ._window import MIN_WINDOW
from .errors import ConnectionLostError, ProtocolError, SluiceError, problem_error

# Tasks that close streams: asyncio keeps only weak references.
_closing: set[asyncio.Task[None]] = set()

Send = Callable[[dict[str, Any]], Awaitable[None]]


class Chunk(NamedTuple):
    """Bytes of a stream."""

    offset: int
    payload: memoryview


class Seal(NamedTuple):
    """The end of a stream: all bytes were sent, and the file is complete."""

    size: int
    rows: int
    sha256: str


class FileStream:
    """One open stream. Received bytes wait in a queue, which the granted window bounds."""

    def __init__(self, opened: dict[str, Any], send: Send) -> None:
        self.id: int = opened["stream"]
        self.export_id: str = opened["export_id"]
        self.offset: int = opened["offset"]
        self.size: int | None = opened.get("size")
        self.attempt: int | None = opened.get("attempt")
        self._send = send
        self._chunks: deque[Chunk] = deque()
        self._end: Seal | SluiceError | None = None
        self._wake = asyncio.Event()
        self._expected = self.offset
        self._granted = self.offset + MIN_WINDOW

    async def next(self, timeout: float) -> Chunk | Seal:
        """Return the next bytes, or the seal.

        Raises:
            TimeoutError: Nothing arrived in time.
            SluiceError: The stream ended before the seal.
        """
        with anyio.fail_after(timeout):
            while not self._chunks and self._end is None:
                self._wake.clear()
                await self._wake.wait()
        if self._chunks:
            return self._chunks.popleft()
        if isinstance(self._end, Seal):
            return self._end
        raise self._end or ProtocolError("the stream has no end")

    async def grant(self, count: int) -> None:
        """Let the server send more bytes."""
        if self._end is None:
            self._granted += count
            await self._send({"type": "file.window", "stream": self.id, "bytes": count})

    async def close(self) -> None:
        """Close the stream, unless it has ended."""
        if self._end is None:
            self._end = ConnectionLostError("the stream was closed")
            await self._send({"type": "file.close", "stream": self.id})

    def abandon(self) -> None:
        """Close the stream without waiting for the message to be sent."""
        task = asyncio.ensure_future(self.close())
        _closing.add(task)
        task.add_done_callback(_closing.discard)

    def push(self, frame: FileFrame) -> None:
        """Queue a frame."""
        if self._end is not None:
            return
        end = frame.offset + len(frame.payload)
        if frame.offset != self._expected:
            self.finish(ProtocolError(f"bytes at {frame.offset} follow byte {self._expected}"))
        elif end > self._granted:
            self.finish(ProtocolError("the server sent more bytes than the window allows"))
        else:
            self._expected = end
            self._chunks.append(Chunk(frame.offset, frame.payload))
            self._wake.set()

    def finish(self, end: Seal | SluiceError) -> None:
        """End the stream after the queued bytes."""
        if self._end is None:
            self._end = end
            self._wake.set()


class StreamTable:
    """Assigns frames and messages to the streams of one connection."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._streams: dict[int, FileStream] = {}
        self._awaited: dict[str, asyncio.Future[FileStream]] = {}

    def expect(self, ref: str) -> asyncio.Future[FileStream]:
        """Return the future stream of a request. Call `forget` when nothing waits for it."""
        future: asyncio.Future[FileStream] = asyncio.get_running_loop().create_future()
        self._awaited[ref] = future
        return future

    def forget(self, ref: str) -> None:
        """Close the stream of a request as soon as it opens."""
        future = self._awaited.pop(ref, None)
        if future and not future.done():
            future.cancel()

    def opened(self, message: dict[str, Any]) -> FileStream | None:
        """Register a stream. Returns it if nothing waits for it."""
        stream = FileStream(message, self._send)
        self._streams[stream.id] = stream
        future = self._awaited.pop(str(message.get("ref")), None)
        if future is None or future.done():
            del self._streams[stream.id]
            return stream
        future.set_result(stream)
        return None

    def frame(self, frame: FileFrame) -> None:
        """Queue a frame. Frames of a closed stream may still arrive."""
        stream = self._streams.get(frame.stream)
        if stream:
            stream.push(frame)

    def sealed(self, message: dict[str, Any]) -> None:
        """End a stream with its seal."""
        stream = self._streams.pop(message["stream"], None)
        if stream:
            stream.finish(Seal(message["size"], message["rows"], message["sha256"]))

    def closed(self, message: dict[str, Any]) -> None:
        """End a stream before its seal."""
        stream = self._streams.pop(message["stream"], None)
        if stream:
            problem = message.get("problem")
            end = ConnectionLostError("the stream ended before the end of the file")
            stream.finish(problem_error(problem) if problem else end)

    def lost(self, error: SluiceError) -> None:
        """End all streams, because the connection is lost."""
        for stream in self._streams.values():
            stream.finish(error)
        self._streams.clear()
        for future in self._awaited.values():
            if not future.done():
                future.set_exception(error)
                future.exception()  # the request may have ended already
        self._awaited.clear()
