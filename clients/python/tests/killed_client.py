"""A client that stops in the middle of a file, and waits until the test kills it.

killed_client.py URL PATH BYTES     with the token in the environment variable TOKEN
"""

from __future__ import annotations

import os
import sys

from sluice_client import Sluice, TransferProgress

url, path, enough = sys.argv[1:]


def stop(progress: TransferProgress) -> None:
    if progress.received >= int(enough):
        os.write(1, b"stopped\n")
        sys.stdin.read()  # the test never writes


with Sluice(url, token=os.environ["TOKEN"]) as sluice:
    sluice.save("flights", path, filter={"origin": {"eq": "SEA"}}, progress=stop)
