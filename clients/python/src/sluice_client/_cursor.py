"""The position in the event log."""

from __future__ import annotations

from dataclasses import dataclass

_REMEMBERED = 1024


@dataclass(frozen=True)
class Position:
    """A position: sequence numbers count within an epoch."""

    epoch: str
    seq: int


@dataclass
class _Replay:
    start: Position
    received: int = 0
    expected: int | None = None
    newest: int = 0


class ReplayCursor:
    """Drops repeated events, and knows after which event to resume.

    The server delivers an event at least once, and new events may arrive before the replay of
    missed ones. So repeated events are found by number, and the position never moves past an event
    that the replay has still to deliver.
    """

    def __init__(self) -> None:
        self._seen: dict[int, None] = {}
        self._epoch: str | None = None
        self._replay: _Replay | None = None
        self.position: Position | None = None
        """The position to resume after; `None` before the first session."""

    def restart(self, position: Position) -> None:
        """Set the position: at the first session, and after a loss of events."""
        self._seen.clear()
        self._epoch = position.epoch
        self._replay = None
        self.position = position

    def begin_replay(self, start: Position) -> None:
        """Record that a connection that began at `start` requests the missed events."""
        if start.epoch != self._epoch:
            self._seen.clear()
            self._epoch = start.epoch
        self._replay = _Replay(start)

    def expect_replay(self, replayed: int) -> None:
        """Set the number of missed events. Some of them may have arrived already."""
        if self._replay:
            self._replay.expected = replayed
            self._settle()

    def abandon_replay(self) -> None:
        """Continue without the missed events, because the server no longer has them."""
        if self._replay:
            start = self._replay.start
            self.position = Position(start.epoch, max(start.seq, self._replay.newest))
            self._replay = None

    def disconnected(self) -> None:
        """Record that the next connection requests the missing events again."""
        self._replay = None

    def accept(self, seq: int) -> bool:
        """Record an event. Returns false for a repeated one."""
        is_new = seq not in self._seen
        if is_new:
            self._seen[seq] = None
            if len(self._seen) > _REMEMBERED:
                del self._seen[next(iter(self._seen))]
        self._advance(seq)
        return is_new

    def _advance(self, seq: int) -> None:
        replay, position = self._replay, self.position
        if replay and (
            not position or seq > replay.start.seq or replay.start.epoch != position.epoch
        ):
            replay.newest = max(replay.newest, seq)
            return
        if position:
            self.position = Position(position.epoch, max(position.seq, seq))
        if replay:
            replay.received += 1
            self._settle()

    def _settle(self) -> None:
        replay, position = self._replay, self.position
        if not replay or not position or replay.expected is None:
            return
        if replay.received >= replay.expected:
            seq = max(position.seq, replay.start.seq, replay.newest)
            self.position = Position(position.epoch, seq)
            self._replay = None
