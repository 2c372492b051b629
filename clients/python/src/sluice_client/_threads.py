"""Blocking work in worker threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

import anyio
import anyio.to_thread

T = TypeVar("T")


async def in_thread(work: Callable[..., T], *args: object) -> T:
    """Run blocking work in a worker thread. A cancellation waits for the end of the work.

    So no thread writes to a file that its owner has closed or deleted. `anyio.to_thread` alone
    waits only when a cancel scope of anyio is canceled, and not when asyncio cancels the task.
    """
    task = asyncio.ensure_future(anyio.to_thread.run_sync(work, *args))
    try:
        return await asyncio.shield(task)
    finally:
        with anyio.CancelScope(shield=True):
            while not task.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # a canceled caller does not see it
