"""Reads NDJSON files with Python's `json`, and looks whether DuckDB finds the same objects. Numbers keep their text."""

import json

import duckdb

BOM = b"\xef\xbb\xbf"


def wanted(path, _, keys):
    """The objects of a file, each as the list of its members."""
    lines = path.read_bytes().removeprefix(BOM).decode().split("\n")
    objects = [exact(line) for line in lines if line.strip(" \t\r\n\f")]
    if not all(isinstance(found, Object) for found in objects):
        raise ValueError("a line is no object")
    return objects


class Object(list):
    """The members of an object, in the order of the file."""


def exact(text):
    """Parses JSON; a number becomes the pair of "number" and its text."""

    def number(text):
        return ("number", text)

    def refuse(name):
        raise ValueError(f"{name} is no JSON")

    return json.loads(
        text, parse_int=number, parse_float=number, parse_constant=refuse, object_pairs_hook=lambda pairs: Object(pairs)
    )


def second(path, _, objects, keys):
    """Whether DuckDB finds the same objects."""
    options = "maximum_object_size = 67108864, format = 'newline_delimited'"
    relation = duckdb.sql(f"select json from read_json_objects($path, {options})", params={"path": str(path)})
    return [exact(text) for (text,) in relation.fetchall()] == objects


def difference(objects, exported, _):
    """The first difference between the objects and the NDJSON file that Sluice wrote."""
    got = [dict(exact(line)) for line in exported.data.decode().split("\n") if line]
    if len(got) != len(objects):
        return f"{len(got)} rows instead of {len(objects)}"
    for row, (want, line) in enumerate(zip(objects, got)):
        unknown = [name for name, _ in want if name not in line]
        if unknown:
            return f"row {row + 1}: the member {unknown[0]!r} is missing"
        members = dict(want)
        for name, value in line.items():
            if not same(members.get(name), value):
                return f"member {name!r}, row {row + 1}: {members.get(name)!r} became {value!r}"[:300]
    return None


def same(want, got):
    """Whether a member of Sluice has this value, or the exact text of this value."""
    if want is None or got is None:
        return want is got
    if isinstance(want, bool):
        return got is want or got == str(want).lower()
    if isinstance(want, tuple):
        return got in (want, want[1])
    if isinstance(want, str):
        return got == want
    return isinstance(got, str) and exact(got) == want
