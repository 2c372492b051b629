"""A temporary PostgreSQL server for the benchmark, with the table `lineitem`."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile

LINEITEM = """create unlogged table lineitem (
l_orderkey bigint not null, l_partkey bigint not null, l_suppkey bigint not null, l_linenumber integer not null,
l_quantity decimal(15,2) not null, l_extendedprice decimal(15,2) not null, l_discount decimal(15,2) not null,
l_tax decimal(15,2) not null, l_returnflag text not null, l_linestatus text not null, l_shipdate date not null,
l_commitdate date not null, l_receiptdate date not null, l_shipinstruct text not null, l_shipmode text not null,
l_comment text not null)"""


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def server(programs, parquet):
    """Starts a server on loopback with the rows of the file, and yields its URL; stops it and deletes its folder at the end."""
    # PostgreSQL refuses to run as root, and the user that runs it must be able to read the folder
    user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    before = ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []
    folder = tempfile.mkdtemp(prefix="sluice-bench-")
    if before:
        shutil.chown(folder, user)
    data, port = f"{folder}/data", free_port()
    url = f"postgres://{user}@127.0.0.1:{port}/postgres"

    def call(program, *words, **more):
        subprocess.run([*before, f"{programs}/{program}", *words], check=True, stdout=subprocess.DEVNULL, cwd=folder, **more)

    try:
        call("initdb", "-D", data, "-A", "trust", "-U", user, "--no-sync")
        settings = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c shared_buffers=512MB"
        call("pg_ctl", "-D", data, "-w", "-l", f"{folder}/log", "-o", settings, "start")
        try:
            psql = [f"{programs}/psql", "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", url]
            subprocess.run([*psql, "-c", LINEITEM], check=True)
            load(psql, parquet)
            subprocess.run([*psql, "-c", "vacuum (freeze, analyze) lineitem"], check=True)
            yield url
        finally:
            call("pg_ctl", "-D", data, "-w", "-m", "fast", "stop")
    finally:
        shutil.rmtree(folder)


def load(psql, parquet):
    """Copies a Parquet file into the table. A separate process reads the file, so that its memory does not count as the
    memory of later child processes."""
    read = "import sys, polars; polars.scan_parquet(sys.argv[1]).sink_csv(sys.stdout.buffer)"
    with subprocess.Popen([sys.executable, "-c", read, parquet], stdout=subprocess.PIPE) as source:
        subprocess.run([*psql, "-c", "\\copy lineitem from stdin csv header"], stdin=source.stdout, check=True)
    if source.returncode != 0:
        raise SystemExit("failed to read lineitem")
