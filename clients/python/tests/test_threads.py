"""Blocking work under cancellation."""

from __future__ import annotations

import asyncio
import threading

import anyio
import pytest

from sluice_client._threads import in_thread


@pytest.mark.parametrize("kind", ["asyncio", "anyio"])
def test_a_cancellation_waits_for_the_end_of_the_work(kind: str) -> None:
    began, release = threading.Event(), threading.Event()
    done: list[str] = []

    def work() -> None:
        began.set()
        assert release.wait(30)
        done.append("work")

    async def use() -> None:
        with anyio.fail_after(0.05 if kind == "anyio" else None):
            try:
                await in_thread(work)
            finally:
                done.append("after")

    async def run() -> None:
        task = asyncio.create_task(use())
        assert await asyncio.to_thread(began.wait, 30)
        if kind == "asyncio":
            task.cancel()
        asyncio.get_running_loop().call_later(0.2, release.set)
        with pytest.raises((asyncio.CancelledError, TimeoutError)):
            await task

    asyncio.run(run())
    assert done == ["work", "after"]


def test_an_error_of_the_work_is_raised() -> None:
    def work() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        asyncio.run(in_thread(work))
