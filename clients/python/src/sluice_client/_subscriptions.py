"""Readers of a session's messages."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import anyio

from .errors import EventsLostError, SluiceError

MAX_EVENTS = 1000
"""A reader that leaves more events in its queue gets an error."""

Message = dict[str, Any]


class Subscription:
    """The queue of one reader. Of progress reports it keeps the newest of each export."""

    def __init__(self, wanted: Callable[[Message], bool]) -> None:
        self._wanted = wanted
        self._events: deque[Message] = deque()
        self._progress: dict[str, Message] = {}
        self._error: SluiceError | None = None
        self._wake = asyncio.Event()

    def push(self, message: Message) -> None:
        """Queue a message."""
        if self._error or not self._wanted(message):
            return
        if message["type"] == "export.progress":
            self._progress[message["export_id"]] = message
        elif len(self._events) >= MAX_EVENTS:
            self._events.clear()
            self._error = EventsLostError(f"more than {MAX_EVENTS} events wait for this reader")
        else:
            self._events.append(message)
        self._wake.set()

    def fail(self, error: SluiceError) -> None:
        """End the queue with an error, after the messages in it."""
        self._error = self._error or error
        self._wake.set()

    async def next(self, timeout: float | None) -> Message | None:
        """Return the next message, or `None` when there is none in time."""
        with anyio.move_on_after(timeout):
            while not (self._events or self._progress or self._error):
                self._wake.clear()
                await self._wake.wait()
        if self._progress:
            return self._progress.pop(next(iter(self._progress)))
        if self._events:
            return self._events.popleft()
        if self._error:
            raise self._error
        return None


class Subscriptions:
    """All readers of a session."""

    def __init__(self) -> None:
        self._all: set[Subscription] = set()

    @contextmanager
    def open(self, wanted: Callable[[Message], bool]) -> Iterator[Subscription]:
        """Subscribe to the messages that `wanted` accepts, until the end of the block."""
        subscription = Subscription(wanted)
        self._all.add(subscription)
        try:
            yield subscription
        finally:
            self._all.discard(subscription)

    def push(self, message: Message) -> None:
        """Give a message to all readers."""
        for subscription in tuple(self._all):
            subscription.push(message)

    def fail(self, error: SluiceError) -> None:
        """End all queues."""
        for subscription in tuple(self._all):
            subscription.fail(error)
