"""Reads CSV and TSV files with Python's `csv` and with DuckDB, where each field is a text."""

import csv
import io
import tempfile

import duckdb

csv.field_size_limit(1 << 30)
BOM = b"\xef\xbb\xbf"


def wanted(path, kind, keys):
    """The records of a file, of which the first one is the header."""
    delimiter = keys.get("delimiter", "\t" if kind == "tsv" else ",")
    data = table_of(path.read_bytes(), delimiter, keys.get("comment"))
    found = records(data, delimiter)
    if not found:
        raise ValueError("no record")
    for at, record in enumerate(found):
        if len(record) != len(found[0]):
            raise ValueError(f"record {at + 1} has {len(record)} fields, and the header has {len(found[0])}")
    return found


def table_of(data, delimiter, comment):
    """The bytes from the header on: docs/catalog.md says which lines before it are comments."""
    data = data.removeprefix(BOM)
    last = b""
    while comment != "" and data.startswith(b"#"):
        end = data.find(b"\n") + 1 or len(data)
        last, data = data[:end], data[end:]
    if not last or comment == "#":
        return data
    fields = [len(record) for record in records(last, delimiter)]
    following = [len(record) for record in records(data, delimiter)[:1]]
    is_header = fields == following if following else fields > [1]
    return last + data if is_header and not last[1:2].isspace() else data


def records(data, delimiter):
    """The records of a table; an empty line is none."""
    text = io.StringIO(data.decode(), newline="")
    return [record for record in csv.reader(text, delimiter=delimiter, strict=True) if record]


def second(path, kind, found, keys):
    """Whether DuckDB reads the same texts; it reads an empty field as NULL, and in one column an empty line, too."""
    delimiter = keys.get("delimiter", "\t" if kind == "tsv" else ",")
    columns = {f"c{at}": "VARCHAR" for at in range(len(found[0]))}
    with tempfile.NamedTemporaryFile(suffix=".csv") as file:
        file.write(table_of(path.read_bytes(), delimiter, keys.get("comment")))
        file.flush()
        options = {"delimiter": delimiter, "quotechar": '"', "escapechar": '"', "header": False}
        relation = duckdb.read_csv(
            file.name, **options, columns=columns, auto_detect=False, strict_mode=True, max_line_size=1 << 26
        )
        rows = [tuple(value or "" for value in row) for row in relation.fetchall()]
    return [row for row in rows if row != ("",)] == [tuple(row) for row in found if row != [""]]


def difference(found, exported, _):
    """The first difference between the records and the CSV file that Sluice wrote."""
    got, said = records(exported.data, ","), exported.said
    if len(got) != len(found):
        return f"{len(got) - 1} rows instead of {len(found) - 1}"
    for at, (title, name) in enumerate(zip(found[0], got[0])):
        if title != name and f"`{name}`" not in said and "further columns are offered" not in said:
            return f"the column {title!r} became {name!r} without a word"
    if len(set(got[0])) != len(got[0]) or len(got[0]) != len(found[0]):
        return f"{len(found[0])} columns became {got[0]!r}"[:300]
    for row, (wants, gots) in enumerate(zip(found[1:], got[1:])):
        for at, (want, value) in enumerate(zip(wants, gots)):
            if want != value:
                return f"column {found[0][at]!r}, row {row + 1}: {want!r} became {value!r}"[:300]
    return None
