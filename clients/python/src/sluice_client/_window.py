"""Flow control of one file stream."""

from __future__ import annotations

MIN_WINDOW = 1024 * 1024
"""The first window of a stream, in bytes."""
MAX_WINDOW = 8 * 1024 * 1024
"""The most bytes that may be in flight or wait for the disk."""

_FAST_SECONDS = 0.1
_SLOW_SECONDS = 1.0


class ReceiveWindow:
    """Grants bytes again as they are written, half a window at a time.

    The window doubles while it limits the throughput, and halves for a slow disk.
    """

    def __init__(self, offset: int, now: float, *, low: int = MIN_WINDOW, high: int = MAX_WINDOW):
        self._low = low
        self._high = max(low, high)
        self._started_at = now
        self.size = low
        self.granted = offset + low
        """The server may send bytes before this position."""

    def written(self, position: int, now: float) -> int:
        """Record that all bytes before a position are written. Returns the bytes to grant now."""
        if self.granted - position > self.size // 2:
            return 0
        elapsed = now - self._started_at
        if elapsed < _FAST_SECONDS:
            self.size = min(self._high, self.size * 2)
        elif elapsed > _SLOW_SECONDS:
            self.size = max(self._low, self.size // 2)
        self._started_at = now
        more = max(0, position + self.size - self.granted)
        self.granted += more
        return more
