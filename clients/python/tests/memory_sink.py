"""A sink of a download in memory."""

from __future__ import annotations


class MemorySink:
    """Keeps the bytes in memory."""

    def __init__(self) -> None:
        self.data = b""
        self.attempts: list[int] = []

    def write(self, data: memoryview | bytes, /) -> None:
        self.data += bytes(data)

    def reset(self) -> None:
        self.data = b""

    def set_attempt(self, attempt: int, /) -> None:
        self.attempts.append(attempt)
