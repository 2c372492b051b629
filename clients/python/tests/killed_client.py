"""A client that stops in the middle of a file, and waits until the test kills it.

killed_client.py save URL FILE BYTES
killed_client.py read URL FOLDER BYTES     both with the token in the environment variable TOKEN
"""

from __future__ import annotations

import os
import sys

from sluice_client import RequestOptions, Sluice, TransferProgress

mode, url, path, enough = sys.argv[1:]
SEATTLE: RequestOptions = {"filter": {"origin": {"eq": "SEA"}}}


def stop(progress: TransferProgress) -> None:
    if progress.received >= int(enough):
        os.write(1, b"stopped\n")
        sys.stdin.read()  # the test never writes


with Sluice(url, token=os.environ["TOKEN"]) as sluice:
    if mode == "save":
        sluice.save("flights", path, progress=stop, **SEATTLE)
    else:
        sluice.read_polars("flights", resume_dir=path, progress=stop, **SEATTLE)
