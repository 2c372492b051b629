"""Exports a single foreign file with Sluice."""

import csv
import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

# settings of tests are no settings of Sluice
ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
# a refusal may ask for one of these keys in the catalog; the first spelling that it names is the one to try
ADVICE = re.compile(r'declare `(delimiter|comment) = ("[^"]*")`|add one such as (row_policy) = (\{.*\})')


@dataclass
class Export:
    """What Sluice did with a file.

    `outcome` is "read", "refused" or "dead", `data` the bytes of the export, `said` the message of a refusal or the notes of
    Sluice, `keys` the keys of the catalog that it asked for, and `names` the columns of an export.
    """

    outcome: str
    data: bytes
    said: str
    keys: dict
    names: list


def export(sluice, path, kind, to):
    """Exports a file of a kind that a catalog can name to the format `to`, and follows the advice of a refusal."""
    keys = {}
    while True:
        outcome, data, said = attempt(sluice, path, kind, to, keys)
        advice = ADVICE.search(said) if outcome == "refused" else None
        key, value = (advice[1] or advice[3], advice[2] or advice[4]) if advice else (None, None)
        if key is None or key in keys:
            break
        keys[key] = value
    names = []
    if outcome == "read" and to == "ndjson":
        first = data.partition(b"\n")[0]
        if first:
            names = [name for name, _ in json.loads(first, object_pairs_hook=list)]
        else:
            # an NDJSON file without rows names no columns
            outcome, header, said = attempt(sluice, path, kind, "csv", keys)
            lines = [line for line in header.decode().split("\n") if not line.startswith("#")]
            names = next(csv.reader(lines), []) if outcome == "read" else []
    given = {name: json.loads(text) for name, text in keys.items() if name != "row_policy"}
    return Export(outcome, data, said, given, names)


def attempt(sluice, path, kind, to, keys):
    with tempfile.TemporaryDirectory() as folder:
        link = Path(folder) / f"file.{kind}"
        link.symlink_to(path)
        catalog = Path(folder) / "catalog.toml"
        table = {"name": '"file"', "files": json.dumps(str(link)), "format": json.dumps(kind), **keys}
        lines = [f"{name} = {value}" for name, value in table.items()]
        catalog.write_text("\n".join(["[[dataset]]", *lines, ""]))
        command = [sluice, "catalog", "preview", "file", "--file", catalog, "--all", "--format", to]
        try:
            done = subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, timeout=60, check=False)
        except subprocess.TimeoutExpired:
            return "dead", b"", "did not end within 60 s"
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode < 0 or "overflowed its stack" in said or "panicked at" in said:
        return "dead", b"", said[-300:]
    if done.returncode != 0:
        return "refused", b"", said.splitlines()[-1] if said else "no message"
    return "read", done.stdout, said
