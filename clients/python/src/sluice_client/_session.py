"""The live session: opens WebSockets again and again, resumes events, and refreshes the token."""

from __future__ import annotations

import asyncio
import logging
import ssl
from contextlib import suppress
from datetime import datetime, timezone
from typing import Any

import anyio

from ._backoff import HEALTHY_SECONDS, Backoff
from ._close_codes import close_action
from ._connection import Connection
from ._cursor import Position, ReplayCursor
from ._subscriptions import Message, Subscriptions
from ._tokens import TokenSource
from .errors import (
    ConnectionLostError,
    EventsLostError,
    ProblemError,
    SluiceError,
    UnauthorizedError,
    is_transient,
    problem_error,
)
from .models import parse_time

BLOCKED_AFTER = 3
"""After so many WebSockets without `session.ready`, files come over HTTP."""

_REFRESH_SECONDS = 60.0
_SHORTEST_REFRESH = 2.0
_MAX_REASON = 200

log = logging.getLogger("sluice_client")


class Session:
    """Keeps one connection open from the first use until `aclose`."""

    def __init__(self, url: str, tokens: TokenSource, tls: ssl.SSLContext | None) -> None:
        self.messages: Subscriptions = Subscriptions()
        self.connection: Connection | None = None
        """The live connection, if there is one."""
        self._url = url
        self._tokens = tokens
        self._tls = tls
        self._cursor = ReplayCursor()
        self._backoff = Backoff()
        self._failed_opens = 0
        self._error: SluiceError | None = None
        self._changed = asyncio.Event()
        self._loop_task: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def connect(self, timeout: float) -> Connection | None:
        """Return the live connection. `None`: there is none in time, or WebSockets are blocked.

        Raises:
            SluiceError: The session ended for a reason that no retry repairs.
        """
        if self._loop_task is None or self._loop_task.done():
            self._error = None
            self._loop_task = asyncio.create_task(self._run())
        with anyio.move_on_after(timeout):
            while not self.connection and not self._error and self._failed_opens < BLOCKED_AFTER:
                self._changed.clear()
                await self._changed.wait()
        if self._error:
            raise self._error
        return self.connection

    async def aclose(self) -> None:
        """End the session."""
        tasks = [task for task in (self._loop_task, *self._tasks) if task]
        if self.connection:
            await self.connection.close()
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError, Exception):
                await task
        self._loop_task = None
        self.connection = None
        self.messages.fail(ConnectionLostError("the client is closed"))

    async def _run(self) -> None:
        """Open one connection after the other."""
        refresh = False
        try:
            while True:
                refresh, delay = await self._connect_once(refresh=refresh)
                await anyio.sleep(self._backoff.next(delay))
        except SluiceError as error:
            self._error = error
            self.messages.fail(error)
        finally:
            self._changed.set()

    async def _connect_once(self, *, refresh: bool) -> tuple[bool, float]:
        """Open a connection and wait for its end.

        Returns whether the next one needs a newer token, and the shortest delay before it.
        """
        try:
            connection = await self._open(refresh=refresh)
        except SluiceError as error:
            if isinstance(error, UnauthorizedError):
                if refresh:
                    raise
                return True, 0.0
            if isinstance(error, ProblemError) and not is_transient(error):
                # A proxy without WebSockets answers with any status; the gateway answers REST.
                log.info("no WebSocket: HTTP status %d", error.status)
            self._failed_opens += 1
            self._changed.set()
            return False, getattr(error, "retry_after", None) or 0.0
        started = asyncio.get_running_loop().time()
        self._failed_opens = 0
        self._begin(connection)
        try:
            code = await connection.run(self._receive)
        finally:
            self.connection = None
            self._cursor.disconnected()
            self._cancel_tasks()
        if asyncio.get_running_loop().time() - started >= HEALTHY_SECONDS:
            self._backoff.reset()
        action = close_action(code)
        log.info("session ended: %s", action.meaning)
        if not action.retry:
            raise problem_error(
                {"type": action.slug, "title": f"The session ended: {action.meaning}"}
            )
        return action.new_token, action.min_delay

    async def _open(self, *, refresh: bool) -> Connection:
        token = await self._tokens.get(refresh=refresh)
        return await Connection.open(self._url, token, self._tls)

    def _begin(self, connection: Connection) -> None:
        ready = connection.ready
        start = Position(str(ready["epoch"]), int(ready["seq"]))
        resume_after = self._cursor.position
        if resume_after:
            self._cursor.begin_replay(start)
            self._spawn(self._resume(connection, resume_after))
        else:
            self._cursor.restart(start)
        expires_at = ready.get("token_expires_at")
        if expires_at:  # an API key may have no expiry
            self._spawn(self._refresh_token(connection, str(expires_at)))
        self.connection = connection
        self._changed.set()

    async def _resume(self, connection: Connection, after: Position) -> None:
        """Request the missed events."""
        message = {"type": "session.resume", "epoch": after.epoch, "seq": after.seq}
        try:
            await connection.request(message, "session.resumed")
        except ConnectionLostError:
            pass  # the next connection resumes after the same event
        except SluiceError:
            self._lose_events()

    def _receive(self, message: Message) -> None:
        if message.get("type") == "session.resumed":
            # at once, because the missed events may follow in the same read
            if message.get("recovered"):
                self._cursor.expect_replay(int(message.get("replayed") or 0))
            else:
                self._lose_events()
        seq = message.get("seq")
        if isinstance(seq, int) and seq > 0 and not self._cursor.accept(seq):
            return
        self.messages.push(message)

    def _lose_events(self) -> None:
        self._cursor.abandon_replay()
        self.messages.push({"type": "client.resync"})
        log.info("events were lost; their exports are fetched again")

    async def _refresh_token(self, connection: Connection, expires_at: str) -> None:
        """Replace the token a minute before it expires, or at four fifths of a short lifetime."""
        while True:
            remaining = (parse_time(expires_at) - datetime.now(timezone.utc)).total_seconds()
            if remaining < _SHORTEST_REFRESH:
                return  # the server closes with 4401, and the next connection reports the error
            await anyio.sleep(remaining - min(_REFRESH_SECONDS, remaining / 5))
            try:
                token = await self._tokens.get(refresh=True)
                message: dict[str, Any] = {"type": "session.refresh", "token": token}
                answer = await connection.request(message, "session.refreshed")
                newer = answer.get("token_expires_at")
                if not newer:
                    return
                expires_at = str(newer)
            except ConnectionLostError:
                return
            except SluiceError as error:
                log.info("no newer token yet: %s", str(error)[:_MAX_REASON])

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel_tasks(self) -> None:
        for task in self._tasks:
            task.cancel()


def resync_error() -> EventsLostError:
    """Create the error for readers of all events."""
    return EventsLostError(
        "the gateway no longer has the events that were missed: fetch the state of your exports"
    )
