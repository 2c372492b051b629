"""Compares Sluice with other programs: the same data to CSV on the same machine, each program in a separate process.

Each program runs N times, and its best time counts: from the open file, or the first connection, to the last byte
written, without the start of the process (the time of psql includes its start). Peak memory is the maximum resident set
of the process, without that of a server. The output is Markdown tables.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import postgres

# The Python code of each program; `source` and `target` are paths. Each prints its own seconds.
PEERS = {
    "polars": "import polars as pl; begin(); pl.scan_parquet(source).sink_csv(target)",
    "DuckDB": """import duckdb; con = duckdb.connect(); begin()
con.execute(f"copy (select * from '{source}') to '{target}' (format csv, header)")""",
    "ClickHouse (chdb)": """import chdb; begin()
chdb.query(f"select * from file('{source}', Parquet) into outfile '{target}' truncate format CSVWithNames")""",
    # its CSV writer does not support the string views of some files
    "pyarrow": """import pyarrow as pa, pyarrow.parquet as pq, pyarrow.csv as pc; begin()
file = pq.ParquetFile(source)
plain = lambda field: field.with_type(pa.string()) if pa.types.is_string_view(field.type) else field
schema = pa.schema([plain(field) for field in file.schema_arrow])
with pc.CSVWriter(target, schema) as writer:
    for batch in file.iter_batches(batch_size=1 << 17):
        writer.write_batch(batch.cast(schema))""",
}
FRAME = """
import sys, time
source, target = sys.argv[1:3]
def begin():
    global since
    since = time.perf_counter()
{work}
print("seconds", time.perf_counter() - since)
"""
SECONDS = re.compile(r"seconds ([0-9.e-]+)|segments in ([0-9.]+)(ms|s)")


def run(command):
    """Runs a command, and returns the seconds that it prints, or its wall time, and its peak memory in bytes."""
    since = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    output, errors = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    wall_time = time.perf_counter() - since
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))[:200]} failed: {errors[-2000:]}")
    found = SECONDS.search(output)
    if not found:
        return wall_time, usage.ru_maxrss * 1024
    seconds = float(found[1]) if found[1] else float(found[2]) / (1000 if found[3] == "ms" else 1)
    return seconds, usage.ru_maxrss * 1024


def lines(path):
    """Counts the lines of a file, to detect a program that leaves rows out."""
    with open(path, "rb", buffering=0) as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 22), b""))


def from_parquet(source, target, options):
    """The commands of all programs that read a Parquet file, by name."""
    peers = {name: [sys.executable, "-c", FRAME.format(work=work), source, target] for name, work in PEERS.items()}
    return {"Sluice": [options.measure, source, "--out", target]} | peers


def from_postgres(url, target, options):
    """The commands of all programs that read a table of a PostgreSQL server, by name."""
    copy = f"\\copy lineitem to '{target}' csv header"
    return {
        "Sluice": [options.measure, url, "--table", "lineitem", "--out", target],
        "psql \\copy": [options.postgres / "psql", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", url, "-c", copy],
    }


def case(title, commands, target, runs):
    best, counts, sizes = {}, {}, {}
    # alternately, so that a quiet period of the machine favours no program
    for _ in range(runs):
        for name, command in commands.items():
            target.unlink(missing_ok=True)
            seconds, memory = run([str(word) for word in command])
            before = best.get(name, (seconds, 0))
            best[name] = (min(seconds, before[0]), max(memory, before[1]))
            if name not in counts:
                counts[name], sizes[name] = lines(target), target.stat().st_size
            time.sleep(0.2)
    target.unlink(missing_ok=True)
    rows = {count for name, count in counts.items() if name != "Sluice"}
    # Sluice writes three comment lines around the table
    assert rows == {counts["Sluice"] - 3}, counts
    base = best["Sluice"][0]
    print(f"\n{title}: {counts['Sluice'] - 4:,} rows\n")
    print("| | seconds | times Sluice | peak memory, MB | file, MB |\n|---|---:|---:|---:|---:|")
    for name, (seconds, memory) in sorted(best.items(), key=lambda item: item[1]):
        print(f"| {name} | {seconds:.2f} | {seconds / base:.2f} | {memory / 1e6:.0f} | {sizes[name] / 1e6:.0f} |")


def main():
    parser = argparse.ArgumentParser()
    for name in ("measure", "flights", "lineitem", "postgres", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    target = options.folder / "out.csv"
    print(f"{os.cpu_count()} cores, best of {options.runs}")
    for name in ("flights", "lineitem"):
        case(f"{name}, Parquet to CSV", from_parquet(getattr(options, name), target, options), target, options.runs)
    with postgres.server(options.postgres, options.lineitem) as url:
        case("lineitem, PostgreSQL to CSV", from_postgres(url, target, options), target, options.runs)


if __name__ == "__main__":
    main()
