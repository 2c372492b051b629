"""A client that saves a long file, and is interrupted in the middle.

interrupted_client.py URL PATH     with the token in the environment variable TOKEN
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from sluice_client import Sluice, TransferProgress

url, path = sys.argv[1:]
interrupted = threading.Event()


def interrupt(_number: int, _frame: FrameType | None) -> None:
    interrupted.set()
    raise KeyboardInterrupt


def stop(progress: TransferProgress) -> None:
    if progress.received and not interrupted.is_set():
        os.write(1, b"bytes\n")
        interrupted.wait(120)


signal.signal(signal.SIGINT, interrupt)
with Sluice(url, token=os.environ["TOKEN"]) as sluice:
    sluice.save("flights", path, progress=stop)
