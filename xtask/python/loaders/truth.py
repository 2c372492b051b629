"""The rows that every loader must give back, and the files that Sluice makes of them."""

import datetime as dt
import os
import subprocess
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# The first field with a quote stands in this row: readers that look at the first rows alone miss it.
FIRST_QUOTE = 30_000
# The folder of the workbook of the rows before it. The workbook of all rows has only text in most columns.
TYPED = "typed"
COLUMNS = ["id", "code", "account", "qty", "amount", "ratio", "active", "day", "moment", "wall", "word", "note"]
TEXTS = ["code", "account", "word", "note"]
UTC = dt.timezone.utc

# A text of each kind that a reader may change.
NOTES = [
    "", None, " leading", "trailing ", "\ttab", "\\N", "\\.", 'a "quoted" word', "two\nlines", "two\r\nlines",
    "# no comment", "a#b", "line one\n# line two", "a,b;c", "NULL", "null", "NA", "N/A", "nan", "None", "-", "true", "1e5", "0x1F",
    "2026-01-02", "12:30", "=1+1", "'", "`", "\u00a0nbsp", "back\\slash", "\\n", "\\", '"', '""', "a\tb",
]
WORDS = ["Zürich", "naïve café", "日本語", "😀", "e\u0301", "\u200f\u05d0", "ñ", "ß", "Ω", "x"]
AMOUNTS = ["0.1", "12345678901234567890.123456789012345678", "-0.000000000000000001", "99999999999999999999.999999999999999999",
           "1.100000000000000000", "0", None]
RATIOS = [float("nan"), float("inf"), float("-inf"), 0.1, 1e300, 5e-324, -0.0, 1 / 3, 123456789.123456789, None]
QUANTITIES = [9007199254740993, -9223372036854775808, 9223372036854775807, 0, None, -1]
DAYS = [dt.date(1, 1, 1), dt.date(1582, 10, 4), dt.date(1899, 12, 31), dt.date(1969, 12, 31), dt.date(2024, 2, 29), dt.date(9999, 12, 31), None]
MOMENTS = [dt.datetime(1, 1, 1), dt.datetime(1677, 1, 1), dt.datetime(1969, 12, 31, 23, 59, 59, 999999), dt.datetime(2026, 3, 29, 2, 30, 0, 500000),
           dt.datetime(2262, 4, 12), dt.datetime(9999, 12, 31, 23, 59, 59, 123456), None]


def row(number):
    """One row by its number from 1: plain at first, and one of each kind after FIRST_QUOTE."""
    n = number - 1
    plain = number < FIRST_QUOTE
    moment = dt.datetime(2026, 1, 1) + dt.timedelta(seconds=61 * n) if plain else MOMENTS[n % len(MOMENTS)]
    return {
        "id": number,
        "code": f"{n % 1000:05}",
        "account": f"{18446744073709550000 + n}",
        "qty": (None if n % 10 == 3 else n) if plain else QUANTITIES[n % len(QUANTITIES)],
        "amount": decimal(f"{n}.25" if plain else AMOUNTS[n % len(AMOUNTS)]),
        "ratio": n / 7 if plain else RATIOS[n % len(RATIOS)],
        "active": None if n % 11 == 5 else n % 2 == 0,
        "day": dt.date(2020, 1, 1) + dt.timedelta(days=n % 2000) if plain else DAYS[n % len(DAYS)],
        "moment": moment and moment.replace(tzinfo=UTC),
        "wall": moment,
        "word": WORDS[n % len(WORDS)],
        "note": (None if n % 10 == 7 else f"note {n}") if plain else NOTES[n % len(NOTES)],
    }


def decimal(text):
    """The decimal with the scale of its column, or None."""
    return None if text is None else Decimal(text)


def rows():
    """All rows; each kind of note meets each kind of value at least once."""
    return [row(number) for number in range(1, FIRST_QUOTE + 400)]


def write_source(path, rows):
    """Writes the rows as a Parquet file, from which Sluice exports them."""
    kinds = [pa.int64(), pa.string(), pa.string(), pa.int64(), pa.decimal128(38, 18), pa.float64(), pa.bool_(), pa.date32(),
             pa.timestamp("us", tz="UTC"), pa.timestamp("us"), pa.string(), pa.string()]
    schema = pa.schema(list(zip(COLUMNS, kinds)))
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path)


def export(sluice, folder):
    """Makes one file for each format, the CSV file with the envelope, and the workbook of the plain rows."""
    folder = Path(folder)
    (folder / TYPED).mkdir(parents=True, exist_ok=True)
    write_source(folder / "source.parquet", rows())
    write_source(folder / "plain.parquet", rows()[: FIRST_QUOTE - 1])
    (folder / "catalog.toml").write_text('[[dataset]]\nname = "loaders"\nfiles = "source.parquet"\n[[dataset]]\nname = "plain"\nfiles = "plain.parquet"\n')
    for name, dataset, template, form in [
        ("data.csv", "loaders", "plain", "csv"), ("data.tsv", "loaders", "plain", "tsv"), ("data.ndjson", "loaders", "plain", "ndjson"),
        ("data.parquet", "loaders", "plain", "parquet"), ("data.xlsx", "loaders", "plain", "xlsx"), (f"{TYPED}/data.xlsx", "plain", "plain", "xlsx"),
        ("envelope.csv", "loaders", "default", "csv"), ("spreadsheet.csv", "loaders", "spreadsheet", "csv"),
    ]:
        with open(folder / name, "wb") as out:
            subprocess.run([sluice, "catalog", "preview", dataset, "--all", "--file", "catalog.toml", "--template", template,
                            "--format", form], cwd=folder, stdout=out, check=True, timeout=300,
                           env=os.environ | {"SLUICE_EXPORTER__DATASETS_DIR": str(folder)})
