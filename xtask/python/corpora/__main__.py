"""Exports a folder of foreign files with Sluice, reads them with other programs, and counts where the values agree.

python corpora SLUICE FOLDER: SLUICE is the binary. Each file becomes a dataset, which `sluice catalog preview` exports.
Parquet and Arrow files are compared with pyarrow, CSV and TSV files with Python's csv, NDJSON files with Python's json.
DuckDB reads all but Arrow files beside them, and its values are compared with those of the first reader. Files that end in
.gz or .zst are compared decompressed. Where a refusal names a key of the catalog to declare, the file is tried again with
that key. A file counts as
- right: every column has its name, and every value that the readers read alike is theirs, with or without a time zone;
- wrong: a value differs, or a column is missing without a word;
- refused clearly: Sluice names a column, a line or a kind of thing, and what to do; unclearly: it names less;
- dead: the process crashed, panicked or did not end within a minute;
- no oracle: the first reader can't read the file, or DuckDB reads another table.
"""

import multiprocessing
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa

import columnar
import csv_files
import ndjson_files
from export import export
from refusals import is_clear

KINDS = {
    "parquet": (columnar, "ndjson", (".parquet",)),
    "arrow": (columnar, "ndjson", (".arrow", ".feather", ".arrow_file", ".arrows", ".stream")),
    "csv": (csv_files, "csv", (".csv",)),
    "tsv": (csv_files, "csv", (".tsv",)),
    "ndjson": (ndjson_files, "ndjson", (".ndjson", ".jsonl", ".json", ".geojsonl", ".geojson")),
}
COMPRESSED = {".gz": "gzip", ".zst": "zstd"}
# foreign readers may crash or hang on foreign files, so that each file has a process of its own
ALONE = multiprocessing.get_context("fork")
SECONDS = 120


def kind_of(path):
    """The kind of a file by the end of its name; None for others."""
    name = path.name.lower()
    for end in COMPRESSED:
        name = name.removesuffix(end)
    return next((kind for kind, (_, _, ends) in KINDS.items() if name.endswith(ends)), None)


def judge(path, kind, exported):
    """Returns the verdict on an export of a file, and a detail."""
    reader = KINDS[kind][0]
    try:
        wanted = reader.wanted(path, kind, exported.keys)
    except NotImplementedError as error:
        return "no oracle", f"this script does not know the type {error}"
    except Exception as error:
        refusal = f": {exported.said}" if exported.outcome == "refused" else ""
        return "no oracle", f"{exported.outcome}{refusal}; first reader: {first_line(error)}"
    try:
        # whether both readers read the same table, or the columns of which they read other values
        alike = reader.second(path, kind, wanted, exported.keys)
    except Exception:
        alike = None
    if exported.outcome == "refused":
        # a file that others read is not damaged
        clear = is_clear(exported.said, alike)
        alone = "" if alike is not False else " (DuckDB reads another table)"
        return ("refused clearly" if clear else "refused unclearly"), exported.said + alone
    disputed = alike if isinstance(alike, set) else set()
    difference = reader.difference(wanted, exported, disputed)
    if difference is None:
        return "right", ""
    if alike is False:
        return "no oracle", f"DuckDB reads another table; {difference}"
    return "wrong", difference


def first_line(error):
    return (str(error) or type(error).__name__).splitlines()[0][:200]


def alone(path, kind, exported):
    """Like `judge`, in another process."""
    ours, theirs = ALONE.Pipe(duplex=False)
    process = ALONE.Process(target=lambda: theirs.send(judge(path, kind, exported)))
    process.start()
    theirs.close()
    try:
        verdict = ours.recv() if ours.poll(SECONDS) else ("no oracle", f"the readers did not end within {SECONDS} s")
    except EOFError:
        verdict = "no oracle", f"a reader crashed; Sluice: {exported.outcome} {exported.said}"
    process.kill()
    process.join()
    return verdict


def decompressed(path, folder):
    """The path of the content of a file."""
    codec = COMPRESSED.get(path.suffix.lower())
    if codec is None:
        return path.resolve()
    target = Path(folder) / "content"
    with pa.input_stream(str(path), compression=codec) as stream:
        target.write_bytes(stream.read())
    return target


def main():
    sluice, folder = str(Path(sys.argv[1]).resolve()), Path(sys.argv[2])
    counts = defaultdict(Counter)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        kind = kind_of(path)
        if kind is None:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            try:
                content = decompressed(path, temporary)
            except OSError as error:
                verdict, detail = "no oracle", f"can't be decompressed: {first_line(error)}"
            else:
                exported = export(sluice, content, kind, KINDS[kind][1])
                dead = exported.outcome == "dead"
                verdict, detail = ("dead", exported.said) if dead else alone(content, kind, exported)
        counts[kind][verdict] += 1
        if verdict != "right":
            print(f"{verdict}: {path.relative_to(folder)}: {detail}", flush=True)
    for kind, found in counts.items():
        shown = ", ".join(f"{count} {verdict}" for verdict, count in found.most_common())
        print(f"{kind}: {found.total()} files: {shown}")
    if not counts:
        print("no files")
    failed = ("wrong", "dead", "refused unclearly")
    return 1 if any(found[verdict] for found in counts.values() for verdict in failed) else 0


if __name__ == "__main__":
    sys.exit(main())
