"""Delays between tries."""

from __future__ import annotations

import random
from collections.abc import Callable

HEALTHY_SECONDS = 10.0
"""A connection must stay open this long before the delays start over."""


class Backoff:
    """Exponential backoff with full jitter.

    Each delay is uniform between 0 and a bound that doubles from `base` to `cap` seconds, so that
    the clients of a failed server do not all reconnect at the same time.
    """

    def __init__(
        self,
        base: float = 0.5,
        cap: float = 30.0,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._base = base
        self._cap = cap
        self._uniform = uniform
        self.attempt = 0

    def next(self, at_least: float | None = None) -> float:
        """Return the next delay in seconds, never below the server's `Retry-After`."""
        bound = min(self._cap, self._base * 2.0 ** min(self.attempt, 30))
        self.attempt += 1
        return max(at_least or 0.0, self._uniform(0.0, bound))

    def reset(self) -> None:
        """Start over with the first delay."""
        self.attempt = 0
