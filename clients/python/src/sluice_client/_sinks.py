"""Where the bytes of a download go."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Protocol

from ._streams import Seal
from ._threads import in_thread
from .errors import DigestError, ProtocolError


class Sink(Protocol):
    """The destination of a download. Its methods run in a worker thread and may block."""

    def write(self, data: memoryview | bytes, /) -> None:
        """Append bytes."""

    def reset(self) -> None:
        """Discard all bytes, because the file begins again."""

    def set_attempt(self, attempt: int, /) -> None:
        """Record which attempt of the export made the bytes that follow."""


class Receiver:
    """Accepts bytes in order from any transport, hashes them once, and verifies the end."""

    def __init__(
        self,
        sink: Sink,
        *,
        position: int = 0,
        attempt: int | None = None,
        digest: hashlib._Hash | None = None,
        on_bytes: Callable[[int], None] | None = None,
    ) -> None:
        self._sink = sink
        self._digest = digest or hashlib.sha256()
        self._on_bytes = on_bytes
        self.position = position
        """The position of the next byte."""
        self.attempt = attempt
        """The attempt that made the received bytes."""

    async def accept(self, offset: int, data: memoryview | bytes) -> None:
        """Accept the next bytes."""
        if offset != self.position:
            raise ProtocolError(f"bytes at {offset} follow byte {self.position}")
        await in_thread(self._write, data)
        self.position += len(data)
        if self._on_bytes:
            self._on_bytes(self.position)

    async def begin(self, attempt: int | None) -> None:
        """Record the attempt of the bytes that follow."""
        if attempt is not None and attempt != self.attempt:
            self.attempt = attempt
            await in_thread(self._sink.set_attempt, attempt)

    async def restart(self) -> None:
        """Discard the received bytes, and begin at 0."""
        await in_thread(self._sink.reset)
        self._digest = hashlib.sha256()
        self.position = 0
        self.attempt = None
        if self._on_bytes:
            self._on_bytes(0)

    def finish(self, seal: Seal) -> Seal:
        """Verify size and digest.

        Raises:
            DigestError: The bytes are not the file.
        """
        digest = self._digest.hexdigest()
        if seal.size != self.position or seal.sha256 != digest:
            raise DigestError(
                f"the received file differs from the export: {self.position} of {seal.size} bytes, "
                f"SHA-256 {digest} in place of {seal.sha256}. Download it again; if this repeats, "
                "something between here and the gateway changes the bytes"
            )
        return seal

    def _write(self, data: memoryview | bytes) -> None:
        self._sink.write(data)
        self._digest.update(data)
