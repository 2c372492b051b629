"""Exports a folder of foreign files with Sluice, reads them with other programs, and counts where the values agree.

python corpora SLUICE FOLDER: SLUICE is the binary. Each file becomes a dataset, which `sluice catalog preview` exports.
Parquet and Arrow files are compared with pyarrow, CSV and TSV files with Python's csv, NDJSON files with Python's json,
and all but Arrow also with DuckDB. Files that end in .gz or .zst are compared decompressed. Where a refusal names a key of
the catalog to declare, the file is tried again with that key. A file counts as
- right: every value is that of the first reader, and DuckDB does not read another table;
- wrong: a value differs, or a column is missing without a word;
- refused clearly: Sluice names a cause; unclearly: it names none;
- dead: the process crashed, panicked or did not end within a minute;
- no oracle: the first reader can't read the file, or DuckDB reads another table.
"""

import multiprocessing
import re
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import pyarrow as pa

import columnar
import csv_files
import ndjson_files
from export import export

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
# a sentence with one of these names a cause that an operator can act on
CLEAR = re.compile(
    r"unsupported|not supported|does not match|checksum|encrypted|compress|codec|nested|deeper|more than|beyond"
    r"|damaged|malformed|truncated|no columns|empty|type|version|UTF-8|out of range|too |lies before|is no whole day"
    r"|two columns are called|does not follow the specification|time of day|number of seconds|line \d+: ",
    re.IGNORECASE,
)


def kind_of(path):
    """The kind of a file by the end of its name; None for others."""
    name = path.name.lower()
    for end in COMPRESSED:
        name = name.removesuffix(end)
    return next((kind for kind, (_, _, ends) in KINDS.items() if name.endswith(ends)), None)


def judge(path, kind, exported):
    """Returns the verdict on an export of a file, and a detail."""
    outcome, data, said, keys = exported
    reader = KINDS[kind][0]
    try:
        wanted = reader.wanted(path, kind, keys)
    except NotImplementedError as error:
        return "no oracle", f"this script does not know the type {error}"
    except Exception as error:
        return "no oracle", f"{outcome}{': ' + said if outcome == 'refused' else ''}; first reader: {first_line(error)}"
    try:
        alike = reader.second(path, kind, wanted, keys)
    except Exception:
        alike = None
    if outcome == "refused":
        # a file that others read is not damaged
        clear = CLEAR.search(said) and (alike is False or "checksum" in said or "damaged" not in said)
        alone = "" if alike is not False else " (DuckDB reads another table)"
        return ("refused clearly" if clear else "refused unclearly"), said + alone
    difference = reader.difference(wanted, data, said)
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
        verdict = "no oracle", f"a reader crashed; Sluice: {exported[0]} {exported[2]}"
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
                verdict, detail = ("dead", exported[2]) if exported[0] == "dead" else alone(content, kind, exported)
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
