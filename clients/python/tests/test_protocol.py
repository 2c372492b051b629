"""Frames, windows, streams and positions: the protocol without a socket."""

from __future__ import annotations

import asyncio

import pytest
from memory_sink import MemorySink

from sluice_client import (
    EventsLostError,
    ProtocolError,
)
from sluice_client._backoff import Backoff
from sluice_client._close_codes import close_action
from sluice_client._cursor import Position, ReplayCursor
from sluice_client._frames import MAX_PAYLOAD, decode_frame, encode_frame
from sluice_client._sinks import Receiver
from sluice_client._streams import Chunk, FileStream, Seal
from sluice_client._subscriptions import MAX_EVENTS, Subscription
from sluice_client._window import ReceiveWindow


def test_frames_are_decoded_as_they_are_encoded() -> None:
    frame = decode_frame(encode_frame(7, 2**40, b"bytes"))
    assert frame is not None
    assert (frame.stream, frame.offset, bytes(frame.payload)) == (7, 2**40, b"bytes")


def test_frames_of_unknown_kind_are_ignored() -> None:
    assert decode_frame(b"\x02" + bytes(15)) is None


@pytest.mark.parametrize("data", [b"", bytes(15), encode_frame(1, 0, bytes(MAX_PAYLOAD + 1))])
def test_malformed_frames_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode_frame(data)


def test_backoff_doubles_to_its_cap_and_respects_retry_after() -> None:
    backoff = Backoff(uniform=lambda _low, high: high)
    assert [backoff.next() for _ in range(8)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    backoff.reset()
    assert backoff.next() == 0.5
    assert backoff.next(12.0) == 12.0


def test_backoff_has_full_jitter() -> None:
    backoff = Backoff(uniform=lambda low, _high: low)
    assert [backoff.next() for _ in range(3)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("code", "retry"),
    [
        (1000, False),
        (1001, True),
        (1006, True),
        (1009, False),
        (4401, True),
        (4408, True),
        (4409, False),
        (4429, True),
        (4499, False),
        (4500, True),
        (4600, True),
    ],
)
def test_close_codes_say_whether_to_reconnect(code: int, retry: bool) -> None:
    assert close_action(code).retry is retry


def test_only_an_expired_token_asks_for_a_new_one() -> None:
    assert close_action(4401).new_token
    assert not close_action(1001).new_token


def test_the_window_grants_half_at_a_time_and_doubles_when_fast() -> None:
    window = ReceiveWindow(0, 0.0, low=100, high=400)
    assert window.written(40, 0.01) == 0
    assert window.written(60, 0.02) == 160  # the window is 200 now
    assert window.granted == 260
    assert window.written(200, 5.0) == 40  # a slow disk halves it
    assert window.size == 100


def test_the_window_never_exceeds_its_bound() -> None:
    window = ReceiveWindow(0, 0.0, low=100, high=150)
    for step in range(1, 50):
        window.written(step * 75, step * 0.001)
        assert window.granted - step * 75 <= 150


def test_the_cursor_drops_repeated_events() -> None:
    cursor = ReplayCursor()
    cursor.restart(Position("e", 10))
    assert [cursor.accept(seq) for seq in (11, 12, 11)] == [True, True, False]
    assert cursor.position == Position("e", 12)


def test_the_cursor_stays_before_events_that_the_replay_has_still_to_deliver() -> None:
    cursor = ReplayCursor()
    cursor.restart(Position("e", 10))
    cursor.begin_replay(Position("e", 13))
    assert cursor.accept(14)  # a new event before the missed ones
    assert cursor.position == Position("e", 10)
    cursor.expect_replay(3)
    assert [cursor.accept(seq) for seq in (11, 12)] == [True, True]
    assert cursor.position == Position("e", 12)
    cursor.disconnected()  # the last one is requested again
    assert cursor.position == Position("e", 12)


def test_the_cursor_moves_on_after_a_complete_replay() -> None:
    cursor = ReplayCursor()
    cursor.restart(Position("e", 10))
    cursor.begin_replay(Position("e", 12))
    cursor.expect_replay(2)
    assert [cursor.accept(seq) for seq in (11, 14, 12)] == [True, True, True]
    assert cursor.position == Position("e", 14)


def test_the_cursor_begins_again_in_a_new_epoch() -> None:
    cursor = ReplayCursor()
    cursor.restart(Position("e", 10))
    cursor.begin_replay(Position("f", 2))
    cursor.abandon_replay()
    assert cursor.position == Position("f", 2)
    assert cursor.accept(3)


def test_a_receiver_never_mixes_bytes() -> None:
    async def run() -> None:
        sink = MemorySink()
        receiver = Receiver(sink)
        await receiver.begin(1)
        await receiver.accept(0, b"old")
        with pytest.raises(ProtocolError):
            await receiver.accept(4, b"gap")
        await receiver.restart()
        await receiver.begin(2)
        await receiver.accept(0, b"new")
        digest = "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"
        assert receiver.finish(Seal(3, 1, digest)).rows == 1
        assert (sink.data, sink.attempts) == (b"new", [1, 2])

    asyncio.run(run())


def new_stream(sent: list[dict[str, object]]) -> FileStream:
    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    return FileStream({"stream": 1, "export_id": "e", "offset": 0}, send)


def test_a_stream_gives_its_bytes_and_then_its_end() -> None:
    async def run() -> None:
        sent: list[dict[str, object]] = []
        stream = new_stream(sent)
        frame = decode_frame(encode_frame(1, 0, b"abc"))
        assert frame is not None
        stream.push(frame)
        stream.finish(Seal(3, 1, "x"))
        assert isinstance(await stream.next(1), Chunk)
        assert await stream.next(1) == Seal(3, 1, "x")
        await stream.close()
        assert sent == []

    asyncio.run(run())


@pytest.mark.parametrize("offset", [1, 2**20])
def test_a_stream_refuses_gaps_and_bytes_that_were_not_granted(offset: int) -> None:
    async def run() -> None:
        stream = new_stream([])
        size = MAX_PAYLOAD
        for at in [*range(0, 2**20, size), 2**20] if offset == 2**20 else [offset]:
            frame = decode_frame(encode_frame(1, at, bytes(size)))
            assert frame is not None
            stream.push(frame)
        with pytest.raises(ProtocolError):
            while True:
                await stream.next(1)

    asyncio.run(run())


def test_a_stream_without_bytes_ends_the_wait() -> None:
    async def run() -> None:
        with pytest.raises(TimeoutError):
            await new_stream([]).next(0.01)

    asyncio.run(run())


def test_a_slow_reader_gets_the_newest_progress_and_no_unbounded_queue() -> None:
    async def run() -> None:
        reader = Subscription(lambda _message: True)
        for rows in range(5):
            reader.push({"type": "export.progress", "export_id": "e", "progress": {"rows": rows}})
        message = await reader.next(1)
        assert message is not None
        assert message["progress"]["rows"] == 4
        assert await reader.next(0.01) is None
        for seq in range(MAX_EVENTS + 1):
            reader.push({"type": "export.completed", "seq": seq})
        with pytest.raises(EventsLostError):
            await reader.next(1)

    asyncio.run(run())
