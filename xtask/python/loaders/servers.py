"""Starts a PostgreSQL server for one run, and reads tables of SQLite."""

import contextlib
import os
import shutil
import socket
import sqlite3
import subprocess
import tempfile
from pathlib import Path

from truth import COLUMNS


@contextlib.contextmanager
def postgres(programs):
    """The port of a server on 127.0.0.1 while the block runs, or None without programs."""
    if not programs:
        yield None
        return
    data = Path(tempfile.mkdtemp(prefix="loaders-pg-"))
    # A server of PostgreSQL refuses to run as root.
    account = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"] if os.geteuid() == 0 else []
    if account:
        shutil.chown(data, "nobody", "nogroup")
    try:
        run = lambda program, *args: subprocess.run([*account, f"{programs}/{program}", *args], cwd=data, check=True, capture_output=True)  # noqa: E731
        run("initdb", "-D", str(data / "db"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={data}"
        subprocess.run([*account, f"{programs}/pg_ctl", "-D", str(data / "db"), "-w", "-l", str(data / "log"), "-o", options, "start"],
                       cwd=data, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield port
        finally:
            run("pg_ctl", "-D", str(data / "db"), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(data, ignore_errors=True)


def sqlite_rows(path):
    """The rows of the table `loaders` as texts, in the order of their ids."""
    with contextlib.closing(sqlite3.connect(path)) as base:
        rows = base.execute(f"SELECT {', '.join(COLUMNS)} FROM loaders ORDER BY rowid").fetchall()
    return [[None if cell is None else str(cell) for cell in row] for row in rows]
