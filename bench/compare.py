"""Sluice beside others: the same Parquet file to CSV on the same machine, each in a process of its own.

Each contender runs N times, and its best time counts: from the open file to the last byte written, without the start of
its process. Peak memory is that of the whole process, as the kernel counted it. The table is Markdown.
"""

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

# What each peer runs; `source` and `target` are paths. It prints its own seconds.
PEERS = {
    "polars": "import polars as pl; begin(); pl.scan_parquet(source).sink_csv(target)",
    "DuckDB": """import duckdb; con = duckdb.connect(); begin()
con.execute(f"copy (select * from '{source}') to '{target}' (format csv, header)")""",
    "ClickHouse (chdb)": """import chdb; begin()
chdb.query(f"select * from file('{source}', Parquet) into outfile '{target}' truncate format CSVWithNames")""",
    "pyarrow": """import pyarrow.parquet as pq, pyarrow.csv as pc; begin()
file = pq.ParquetFile(source)
with pc.CSVWriter(target, file.schema_arrow) as writer:
    for batch in file.iter_batches(batch_size=1 << 17):
        writer.write_batch(batch)""",
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
    """Seconds that the process says it took, and its peak memory in bytes."""
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    said, complained = child.stdout.read(), child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))[:200]} failed: {complained[-2000:]}")
    found = SECONDS.search(said)
    if not found:
        sys.exit(f"no time in: {said[-500:]}")
    seconds = float(found[1]) if found[1] else float(found[2]) / (1000 if found[3] == "ms" else 1)
    return seconds, usage.ru_maxrss * 1024


def lines(path):
    """Lines of a file, for a contender that leaves rows out has not taken part."""
    with open(path, "rb", buffering=0) as file:
        return sum(block.count(b"\n") for block in iter(lambda: file.read(1 << 22), b""))


def case(title, source, options):
    target = options.folder / "out.csv"
    ours = [str(options.measure), str(source), "--out", str(target)]
    commands = {"Sluice": ours}
    commands |= {name: [sys.executable, "-c", FRAME.format(work=work), str(source), str(target)] for name, work in PEERS.items()}
    best, counts, sizes = {}, {}, {}
    # in turns, so that nobody has the quiet part of the machine alone
    for _ in range(options.runs):
        for name, command in commands.items():
            target.unlink(missing_ok=True)
            seconds, memory = run(command)
            before = best.get(name, (seconds, 0))
            best[name] = (min(seconds, before[0]), max(memory, before[1]))
            if name not in counts:
                counts[name], sizes[name] = lines(target), target.stat().st_size
            time.sleep(0.2)
    target.unlink(missing_ok=True)
    rows = {counts[name] for name in PEERS}
    # ours has three comment lines around the table
    assert rows == {counts["Sluice"] - 3}, counts
    base = best["Sluice"][0]
    print(f"\n{title}: {counts['Sluice'] - 4:,} rows\n")
    print("| | seconds | times Sluice | peak memory, MB | file, MB |\n|---|---:|---:|---:|---:|")
    for name, (seconds, memory) in sorted(best.items(), key=lambda item: item[1]):
        print(f"| {name} | {seconds:.2f} | {seconds / base:.2f} | {memory / 1e6:.0f} | {sizes[name] / 1e6:.0f} |")


def main():
    parser = argparse.ArgumentParser()
    for name in ("measure", "flights", "lineitem", "folder"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    print(f"{os.cpu_count()} cores, best of {options.runs}")
    for title, source in (("flights, Parquet to CSV", options.flights), ("lineitem, Parquet to CSV", options.lineitem)):
        case(title, source, options)


if __name__ == "__main__":
    main()
