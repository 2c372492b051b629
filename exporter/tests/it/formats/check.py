"""Reads the files of a round trip with independent readers and compares every value with the reference file.

check.py FOLDER CHECK …: prints `ok CHECK` for each check that passes, and fails at the first value that differs.
"""

import csv
import datetime as dt
import gzip
import io
import json
import math
import re
import struct
import subprocess
import sys
import zipfile
import zlib
import zoneinfo
from decimal import Decimal
from pathlib import Path

import duckdb
import polars as pl
import polars.testing

FOLDER = Path(sys.argv[1])
REFERENCE = pl.read_parquet(FOLDER / "reference.parquet")
NAMES = REFERENCE.columns
ROWS = {name: REFERENCE[name].to_list() for name in NAMES}
TEXTS = {"text", "code"}
REQUESTED = "2026-11-22T15:26:01.123Z"
# the rows of each part of an archive, as in main.rs
PART_ROWS = 5_000
# LibreOffice writes 15 digits of a float, and line feeds only
OFFICE = any(check.startswith("libreoffice") for check in sys.argv[2:])
BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")


def f32(value):
    """The nearest float of 32 bits."""
    return struct.unpack("f", struct.pack("f", value))[0]


def same_float(value, text, name):
    special = {"NaN": math.nan, "INF": math.inf, "-INF": -math.inf}
    got = special[text] if text in special else float(text)
    if name == "real" and math.isfinite(got):
        got = f32(got)
    return (math.isnan(value) and math.isnan(got)) or (got == value and math.copysign(1, got) == math.copysign(1, value))


def machine(name, value, text):
    """Whether a field of the machine profile equals this value."""
    if isinstance(value, bool):
        return text == ("true" if value else "false")
    if isinstance(value, int):
        return text == str(value)
    if isinstance(value, float):
        return same_float(value, text, name)
    if isinstance(value, Decimal):
        return Decimal(text) == value
    if isinstance(value, dt.datetime):
        return text.endswith("Z") and dt.datetime.fromisoformat(text[:-1]) == value
    if isinstance(value, dt.date):
        return dt.date.fromisoformat(text) == value
    if isinstance(value, dt.time):
        return dt.time.fromisoformat(text) == value
    return text == value


def compare(columns, matches, nulls):
    """Compares whole columns; `nulls` are the fields that mean NULL."""
    assert list(columns) == NAMES, list(columns)
    for name in NAMES:
        compare_one(name, columns[name], matches, nulls)


def compare_one(name, got, matches, nulls):
    wanted = ROWS[name]
    assert len(got) == len(wanted), (name, len(got), len(wanted))
    for row, (field, value) in enumerate(zip(got, wanted)):
        same = field in nulls if value is None else (field is not None and matches(name, value, field))
        assert same, f"{name}, row {row}: {value!r} became {field!r}"


def envelope(data, line_end):
    """Checks and removes the envelope."""
    begin = f"# export_requested_at: {REQUESTED}".encode() + line_end
    assert data.startswith(begin), data[:100]
    body, rows, completed, rest = data.rsplit(line_end, 3)
    assert rows == f"# export_rows: {REFERENCE.height}".encode() and rest == b"", (rows, rest)
    assert re.fullmatch(rb"# export_completed_at: [-0-9T:.]+Z", completed), completed
    return body[len(begin):] + line_end


def by_csv(data, delimiter):
    """Columns as Python's csv module reads them."""
    csv.field_size_limit(1 << 24)
    rows = list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter, strict=True))
    assert all(len(row) == len(rows[0]) for row in rows)
    return {title: list(column) for title, column in zip(rows[0], zip(*rows[1:]))}


def by_polars(path, delimiter, **options):
    """Columns as polars reads them from the unchanged file."""
    frame = pl.read_csv(path, separator=delimiter, infer_schema=False, **options)
    return {name: frame[name].to_list() for name in frame.columns}


def by_duckdb(path, delimiter, options):
    """Columns as DuckDB reads them from the unchanged file."""
    relation = duckdb.sql(
        f"""from read_csv('{path}', delim='{delimiter}', header=true, all_varchar=true, quote='"', escape='"',
        nullstr='', allow_quoted_nulls=false, strict_mode=true, max_line_size=16777216, {options})"""
    )
    rows = relation.fetchall()
    return {name: [row[at] for row in rows] for at, name in enumerate(relation.columns)}


def one_member(data):
    """The content of a gzip file of one member, as readers see it that stop after the first member."""
    decoder = zlib.decompressobj(wbits=31)
    content = decoder.decompress(data) + decoder.flush()
    assert decoder.eof and decoder.unused_data == b"", "the file has more than one member"
    assert gzip.decompress(data) == content
    return content


def text_file(name, delimiter):
    path = FOLDER / name
    data = path.read_bytes()
    data = one_member(data) if path.suffix == ".gz" else data
    # Python's csv does not support comments, so a caller must remove the envelope
    compare(by_csv(envelope(data, b"\n"), delimiter), machine, [""])
    compare(by_polars(path, delimiter, comment_prefix="#"), machine, [None])
    compare(by_duckdb(path, delimiter, "comment='#'"), machine, [None])


def check_csv():
    text_file("machine.csv", ",")


def check_tsv():
    text_file("machine.tsv", "\t")


def check_gzip():
    text_file("machine.csv.gz", ",")


def in_json(name, value, got):
    """Whether a JSON value equals this value: decimals, dates and floats that are not finite are strings."""
    if isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
        if isinstance(value, float):
            return same_float(value, repr(float(got)), name)
        return type(got) is type(value) and got == value
    return isinstance(got, str) and machine(name, value, got)


def check_ndjson():
    lines = (FOLDER / "machine.ndjson").read_bytes().decode().split("\n")
    assert lines.pop() == ""
    objects = [json.loads(line) for line in lines]
    compare({name: [o[name] for o in objects] for name in objects[0]}, in_json, [None])
    ndjson_by_polars("machine.ndjson")


def ndjson_by_polars(name):
    schema = {name: pl.String for name in NAMES} | {"n": pl.Int64, "small": pl.Int64, "flag": pl.Boolean}
    frame = pl.read_ndjson(FOLDER / name, schema=schema)
    floats = ("x", "real")
    kept = [name for name in NAMES if name not in floats]
    for name in kept:
        for field, value in zip(frame[name].to_list(), ROWS[name]):
            assert (field is None) if value is None else in_json(name, value, field), (name, value, field)
    # polars reads no words such as NaN as floats: it reads text, and the check casts the text
    for name in floats:
        compare_floats(name, frame[name].cast(pl.Float64).to_list())
    types = {name: "VARCHAR" for name in NAMES} | {"n": "BIGINT", "small": "BIGINT", "flag": "BOOLEAN"}
    # DuckDB reads such words as floats
    types |= {"x": "DOUBLE", "real": "FLOAT"}
    relation = duckdb.read_json(str(FOLDER / "machine.ndjson"), format="newline_delimited", columns=types)
    rows = relation.fetchall()
    for index, name in enumerate(NAMES):
        if name in kept:
            for row, value in zip(rows, ROWS[name]):
                field = row[index]
                assert (field is None) if value is None else in_json(name, value, field), (name, value, field)
        else:
            compare_floats(name, [row[index] for row in rows])


def compare_floats(name, got):
    """Compares floats of a reader, including those that are not finite."""
    assert len(got) == len(ROWS[name])
    for field, value in zip(got, ROWS[name]):
        same = field is None if value is None else field is not None and same_float(value, repr(field), name)
        assert same, (name, value, field)


def check_zstd():
    ndjson_by_polars("machine.ndjson.zst")


def check_parquet():
    path = FOLDER / "machine.parquet"
    zoned = REFERENCE.with_columns(pl.col("at").dt.replace_time_zone("UTC"))
    pl.testing.assert_frame_equal(pl.read_parquet(path), zoned, check_exact=True)
    instant = lambda name, column: f'epoch_us("{column}")' if name == "at" else f'"{column}"'
    count = duckdb.sql(
        f"""select count(*) from (select * from '{path}') a positional join
        (select {', '.join(f'"{n}" as "reference {n}"' for n in NAMES)} from '{FOLDER / "reference.parquet"}') b
        where {' or '.join(f'{instant(n, n)} is distinct from {instant(n, "reference " + n)}' for n in NAMES)}"""
    ).fetchall()[0][0]
    assert count == 0 and duckdb.sql(f"select count(*) from '{path}'").fetchall()[0][0] == REFERENCE.height
    meta = dict(duckdb.sql(f"select decode(key), decode(value) from parquet_kv_metadata('{path}')").fetchall())
    assert meta["sluice.requested_at"] == REQUESTED and meta["sluice.template"] == "round-trip", meta


def arrow(name):
    """Compares every value of a stream with the reference, by pyarrow, and the types and values by polars."""
    import pyarrow as pa
    import pyarrow.parquet

    with pa.ipc.open_stream(FOLDER / name) as stream:
        metadata = stream.schema.metadata
        batches = list(stream)
    assert metadata[b"sluice.requested_at"].decode() == REQUESTED and metadata[b"sluice.template"] == b"round-trip"
    assert len(batches) > 0 and sum(batch.num_rows for batch in batches) == REFERENCE.height
    got, expected = pa.Table.from_batches(batches), pa.parquet.read_table(FOLDER / "reference.parquet")
    assert got.column_names == expected.column_names == NAMES
    for title in NAMES:
        values, wanted = got[title].combine_chunks(), expected[title].combine_chunks()
        if title == "at":
            assert values.type == pa.timestamp("us", "UTC"), values.type
            wanted = wanted.cast(values.type)
        if pa.types.is_string_view(wanted.type):
            wanted = wanted.cast(pa.large_string())
        assert values.type == wanted.type, (title, values.type, wanted.type)
        if pa.types.is_floating(values.type):
            # the bits, because NaN equals nothing
            bits = pa.int64() if values.type.bit_width == 64 else pa.int32()
            values, wanted = values.view(bits), wanted.view(bits)
        assert values.equals(wanted), title
    zoned = REFERENCE.with_columns(pl.col("at").dt.replace_time_zone("UTC"))
    pl.testing.assert_frame_equal(pl.read_ipc_stream(FOLDER / name), zoned, check_exact=True)


def check_arrow():
    arrow("machine.arrows")


def check_arrow_zstd():
    arrow("machine-zstd.arrows")
    plain, compressed = ((FOLDER / name).stat().st_size for name in ("machine.arrows", "machine-zstd.arrows"))
    assert compressed < plain / 2, (compressed, plain)


def guarded(text):
    """Text as the spreadsheet profile writes it."""
    if re.fullmatch("[0-9]+", text) and (len(text) > 15 or (len(text) > 1 and text[0] == "0")):
        return f'="{text}"'
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") and text else text


def local(value):
    """A timestamp in the time zone of the template; None after the last year of Python."""
    try:
        return value.replace(tzinfo=dt.timezone.utc).astimezone(BERLIN).replace(tzinfo=None)
    except OverflowError:
        return None


def same_local_time(got, here):
    """Whether two local times are equal to the millisecond. chrono-tz has no daylight saving time from 2099 on, and Python
    has."""
    difference = here - got
    hour = dt.timedelta(hours=1)
    return any(abs(difference - shift) <= dt.timedelta(milliseconds=1) for shift in [0 * hour] + [hour] * (here.year >= 2099))


def spreadsheet(mark, zone):
    def matches(name, value, text):
        if name in TEXTS:
            return text == guarded(value)
        if isinstance(value, (int, Decimal)) and not isinstance(value, bool):
            digits = text.removeprefix('="').removesuffix('"')
            kept = len(re.sub("[^0-9]", "", digits).lstrip("0")) > 15
            return (digits != text) == kept and digits == str(value).replace(".", mark) if not isinstance(
                value, Decimal
            ) else (digits != text) == kept and "." not in digits.replace(mark, "") and Decimal(
                digits.replace(mark, ".")
            ) == value
        if isinstance(value, float):
            return same_float(value, text.replace(mark, "."), name)
        if isinstance(value, dt.datetime):
            here = local(value) if zone else value
            return text.startswith("+10000") if here is None else same_local_time(dt.datetime.fromisoformat(text), here)
        return machine(name, value, text)

    return matches


def check_spreadsheet_csv():
    data = (FOLDER / "spreadsheet.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfexport_requested_at;" + REQUESTED.encode() + b";;;;;;;;;;\r\n")
    lines = data.split(b"\r\n", 2)
    assert re.fullmatch(rb"export_completed_at;[-0-9T:.]+Z;;;;;;;;;;", lines[1]), lines[1]
    columns = by_csv(lines[2], ";")
    compare(columns, spreadsheet(",", True), [""])
    numbers = (field for name in NAMES if name not in TEXTS for field in columns[name])
    assert not any(field.startswith(("'", "\t")) for field in numbers), "the guard touched a number"
    compare(by_polars(FOLDER / "spreadsheet.csv", ";", skip_lines=2), spreadsheet(",", True), [None])
    compare(by_duckdb(FOLDER / "spreadsheet.csv", ";", "skip=2"), spreadsheet(",", True), [None])


def check_spreadsheet_tsv():
    path = FOLDER / "spreadsheet.tsv"
    data = path.read_bytes()
    assert data.startswith(b"\xef\xbb\xbf")
    compare(by_csv(envelope(data[3:], b"\r\n"), "\t"), spreadsheet(".", False), [""])
    compare(by_polars(path, "\t", comment_prefix="#"), spreadsheet(".", False), [None])
    compare(by_duckdb(path, "\t", "comment='#'"), spreadsheet(".", False), [None])


def parts(name):
    """The parts of an archive. The last entry describes the whole archive."""
    with zipfile.ZipFile(FOLDER / name) as archive:
        assert archive.testzip() is None
        *names, last = archive.namelist()
        assert last == "export.csv" and names == sorted(names), archive.namelist()
        export = dict(csv.reader(io.StringIO(archive.read(last).decode())))
        assert export["export_requested_at"] == REQUESTED and export["export_rows"] == str(REFERENCE.height), export
        return [archive.read(part) for part in names]


def joined(tables):
    """The concatenated columns of all parts."""
    heights = [len(next(iter(table.values()))) for table in tables]
    full, rest = divmod(REFERENCE.height, PART_ROWS)
    assert heights == [PART_ROWS] * full + [rest] * (rest > 0), heights
    return {name: [field for table in tables for field in table[name]] for name in tables[0]}


def check_csv_zip():
    bom = b"\xef\xbb\xbf"
    tables = parts("spreadsheet.csv.zip")
    assert all(part.startswith(bom) for part in tables)
    compare(joined([by_csv(part[len(bom) :], ";") for part in tables]), spreadsheet(",", True), [""])


def check_xlsx_zip():
    from python_calamine import CalamineWorkbook

    books = [CalamineWorkbook.from_filelike(io.BytesIO(part)) for part in parts("spreadsheet.xlsx.zip")]
    columns = joined([table(book) for book in books])
    check_kinds(columns)
    sheet(columns)


def table(book):
    """The columns of a workbook's first sheet."""
    rows = book.get_sheet_by_name(book.sheet_names[0]).to_python()
    return {title: list(column) for title, column in zip(rows[0], zip(*rows[1:]))}


def from_escapes(text):
    """Decodes characters that XML does not support, which a workbook writes as `_x0000_`."""
    return re.sub("_x([0-9A-F]{4})_", lambda match: chr(int(match[1], 16)), text)


def lines(text):
    """Text with line feeds only, as LibreOffice writes it."""
    return re.sub("\r\n|\n\r|\r", "\n", text) if OFFICE else text


def in_sheet(name, value, got):
    """Whether a cell of a workbook equals this value."""
    if name in TEXTS:
        return lines(value) in (lines(str(got)), lines(from_escapes(str(got))))
    if isinstance(value, bool):
        return got is value
    if isinstance(got, str):
        return machine(name, value, got)
    if isinstance(value, (int, Decimal)):
        return isinstance(got, (int, float)) and Decimal(repr(got)) == value
    if isinstance(value, float):
        if name == "real":
            return isinstance(got, (int, float)) and f32(got) == value
        return isinstance(got, (int, float)) and (got == value or math.isclose(got, value, rel_tol=1e-14 if OFFICE else 1e-15))
    if isinstance(value, dt.datetime):
        got = dt.datetime.combine(got, dt.time()) if type(got) is dt.date else got
        return same_local_time(got, local(value))
    if isinstance(value, dt.date):
        return (got.date() if isinstance(got, dt.datetime) else got) == value
    got = got.time() if isinstance(got, dt.datetime) else got
    seconds = lambda t: t.hour * 3600 + t.minute * 60 + t.second + t.microsecond / 1e6
    if isinstance(got, dt.timedelta):
        return abs(got.total_seconds() - seconds(value)) <= 0.001
    return abs(seconds(got) - seconds(value)) <= 0.001


def has_no_number(value):
    """Whether a workbook has no number for this value."""
    if isinstance(value, bool):
        return False
    if isinstance(value, (int, Decimal)):
        digits = re.sub("[^0-9]", "", str(value) if isinstance(value, int) else format(value, "f"))
        return len(digits.lstrip("0")) > 15
    if isinstance(value, float):
        return not math.isfinite(value)
    if isinstance(value, dt.datetime):
        here = local(value)
        return here is None or here < dt.datetime(1900, 3, 1) or value.microsecond % 1000 != 0
    if isinstance(value, dt.time):
        return value.microsecond % 1000 != 0
    return isinstance(value, dt.date) and value < dt.date(1900, 3, 1)


def text_columns():
    """The columns of numbers, dates and times whose cells are text, because a workbook has no number for one value."""
    return [name for name in NAMES if name not in TEXTS and any(map(has_no_number, ROWS[name]))]


def check_kinds(columns):
    """Checks that each column of a sheet has one kind of cell."""
    for name in NAMES:
        kinds = {isinstance(cell, str) for cell in columns[name] if cell not in ("", None)}
        assert kinds == {name in TEXTS or name in text_columns()}, (name, kinds)


def check_xlsx():
    from python_calamine import CalamineWorkbook

    book = CalamineWorkbook.from_path(str(FOLDER / "spreadsheet.xlsx"))
    assert book.sheet_names == ["Data", "Export"], book.sheet_names
    export = dict(row[:2] for row in book.get_sheet_by_name("Export").to_python())
    assert export["export_requested_at"] == REQUESTED and export["export_rows"] == str(REFERENCE.height), export
    named = [row[1:] for row in book.get_sheet_by_name("Export").to_python() if row[0] == "text_columns"]
    assert [[name for name in names if name] for names in named] == ([text_columns()] if text_columns() else []), named
    check_kinds(table(book))
    sheet(table(book))


def sheet(columns, same=in_sheet, names=tuple(NAMES)):
    """Compares the cells of a sheet, in which an empty text is an empty cell."""
    for name in TEXTS:
        ROWS[name] = [None if value == "" else value for value in ROWS[name]]
    assert list(columns) == NAMES, list(columns)
    for name in names:
        compare_one(name, columns[name], same, ["", None])


def check_csvw():
    from csvw import CSVW

    for name in ("machine.csv", "machine.tsv", "styled.csv"):
        document = json.loads((FOLDER / f"{name}-metadata.json").read_text())
        assert document["url"] == name and document["urn:sluice:rows"] == REFERENCE.height
        tool = CSVW(str(FOLDER / name), validate=True)
        assert not tool.no_metadata and tool.is_valid, (name, [str(w.message) for w in tool.warnings][:5])
        table = tool.tables[0]
        rows = list(table.iterdicts(strict=True))
        assert len(rows) == REFERENCE.height, (name, len(rows))
        for column in ("n", "money", "flag", "day"):
            for row, value in zip(rows, ROWS[column]):
                got = row[column]
                # the tool reads a date as a timestamp at midnight
                got = got.date() if isinstance(got, dt.datetime) else got
                assert got == value, (name, column, row[column], value)


def libreoffice(source, infilter):
    """The workbook that LibreOffice makes of a file."""
    command = ["soffice", "--headless", f"-env:UserInstallation=file://{FOLDER}/profile"]
    command += [f"--infilter={infilter}"] if infilter else []
    command += ["--convert-to", "xlsx:Calc MS Excel 2007 XML", "--outdir", str(FOLDER / "office"), str(FOLDER / source)]
    done = subprocess.run(command, capture_output=True, timeout=600, check=False)
    made = FOLDER / "office" / f"{Path(source).stem}.xlsx"
    assert done.returncode == 0 and made.exists(), done.stderr
    return made


def office_rows(made, sheet_name, skip):
    from python_calamine import CalamineWorkbook

    book = CalamineWorkbook.from_path(str(made))
    name = sheet_name if sheet_name in book.sheet_names else book.sheet_names[0]
    rows = book.get_sheet_by_name(name).to_python()[skip:]
    return {title: list(column) for title, column in zip(rows[0], zip(*rows[1:]))}


def check_libreoffice_xlsx():
    columns = office_rows(libreoffice("spreadsheet.xlsx", ""), "Data", 0)
    check_kinds(columns)
    sheet(columns)


class Office:
    """The cells that LibreOffice makes of a text file of the spreadsheet profile: it infers the type of each field.

    The filter options make it infer as many types as it can, which is the worst case. It may make only those changes that
    docs/formats.md lists."""

    def __init__(self, mark, true, quoted_is_text=False):
        self.mark, self.true, self.quoted_is_text = mark, true, quoted_is_text

    def inferred(self, text):
        """The value that LibreOffice infers from a text; None for a text."""
        if self.quoted_is_text:
            return None
        if re.fullmatch("[0-9]{1,15}|1e5", text) and guarded(text) == text:
            return float(text)
        if text == "2001-01-13":
            return dt.date(2001, 1, 13)
        return True if text == self.true else None

    def shown(self, text):
        """A text that stays text, with the mark of the formula guard."""
        if self.quoted_is_text:
            return "'" + text if text[:1] in ("=", "+", "-", "@", "\t", "\r") and text else text
        # the formula of a constant shows the constant
        return text if guarded(text) == f'="{text}"' else guarded(text)

    def __call__(self, name, value, got):
        if name in TEXTS:
            inferred = self.inferred(value)
            if inferred is not None:
                return type(got) is type(inferred) and got == inferred
            # LibreOffice drops the character U+0000
            shown = lines(self.shown(value)).replace("\0", "")
            return isinstance(got, str) and shown in (lines(got), lines(from_escapes(got)))
        if isinstance(value, bool):
            # LibreOffice infers booleans from the words of its language only
            return got is value if self.true == "TRUE" else got == ("true" if value else "false")
        if isinstance(value, (int, Decimal)):
            if isinstance(got, str):
                return Decimal(got.replace(self.mark, ".")) == value
            return Decimal(repr(got)) == value
        if isinstance(value, float):
            if not math.isfinite(value):
                return isinstance(got, str) and same_float(value, got, name)
            # LibreOffice reads subnormal numbers as zero
            same = f32(got) == value if name == "real" else math.isclose(got, value, rel_tol=1e-14, abs_tol=1e-307)
            return isinstance(got, float) and same
        if isinstance(value, dt.datetime):
            here = local(value)
            if here is None:
                # LibreOffice supports this date, Python does not
                serial = (value - dt.datetime(1899, 12, 30)) / dt.timedelta(days=1) + 1 / 24
                known = isinstance(got, float) and math.isclose(got, serial, abs_tol=1e-6)
                return got.startswith("+10000-01-01 00:59:59") if self.mark == "," else known
            if here < WORKBOOKS:
                return self.before_workbooks(here.date(), got)
            if here.microsecond and self.mark == ",":
                return isinstance(got, str) and same_local_time(dt.datetime.fromisoformat(got), here)
            got = dt.datetime.combine(got, dt.time()) if type(got) is dt.date else got
            return isinstance(got, dt.datetime) and same_local_time(got, here)
        if isinstance(value, dt.date):
            return self.before_workbooks(value, got) if value < WORKBOOKS.date() else type(got) is dt.date and got == value
        if value.microsecond and self.mark == ",":
            return got == value.isoformat(timespec="milliseconds")
        return isinstance(got, (dt.time, dt.timedelta)) and in_sheet(name, value, got)

    @staticmethod
    def before_workbooks(day, got):
        """Whether a cell equals a day before March 1900. The check reads a workbook, which counts 29 February 1900 and has no
        day before 1900."""
        if day < dt.date(1899, 12, 31):
            return isinstance(got, dt.time)
        return type(got) is dt.date and got - day in (dt.timedelta(), dt.timedelta(days=1))


# from this day on, the days of a workbook are those of the calendar
WORKBOOKS = dt.datetime(1900, 3, 1)


def office_csv(name, infilter, office, names=tuple(NAMES)):
    columns = office_rows(libreoffice(name, infilter), Path(name).stem, 2)
    sheet({name: columns[name] for name in NAMES}, office, names)


def check_libreoffice_csv():
    # filter options: `;` between fields, quotes, UTF-8, from line 1, German, infer quoted fields too, detect special numbers
    office_csv("spreadsheet.csv", "CSV:59,34,76,1,,1031,false,true", Office(",", "WAHR"))


def check_libreoffice_csv_in_english():
    office_csv("english.csv", "CSV:44,34,76,1,,1033,false,true", Office(".", "TRUE"))


def check_libreoffice_quoted_csv():
    # filter option "Format quoted field as text": LibreOffice infers no type from text
    quoted = Office(",", "WAHR", quoted_is_text=True)
    office_csv("quoted.csv", "CSV:59,34,76,1,,1031,true,true", quoted, ("small", "money", "text", "code"))


for check in sys.argv[2:]:
    globals()["check_" + check.replace("-", "_")]()
    print("ok", check, flush=True)
