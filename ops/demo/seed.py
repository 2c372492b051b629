#!/usr/bin/env python3
"""Fills a folder with the demo: flights.parquet, demo.sqlite, and catalog.toml, which describes both.

    ops/demo/seed.py FOLDER [--flights FILE]

Run it again at any time: files that are complete stay, and catalog.toml is written again. The catalog lists the TPC-H
tables only when `cargo xtask data` has put them into the folder. Each file appears whole or not at all.
"""

import argparse
import os
import pathlib
import shutil
import sqlite3
import sys
from collections.abc import Callable

HERE = pathlib.Path(__file__).resolve().parent


def place(target: pathlib.Path, write: Callable[[pathlib.Path], object]) -> None:
    """Writes a file beside its target and renames it, so that no reader sees half of it."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        write(part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)


def create_menus(file: pathlib.Path) -> None:
    """Creates a SQLite database with the tables of menus.sql."""
    database = sqlite3.connect(file)
    try:
        database.executescript((HERE / "menus.sql").read_text(encoding="utf-8"))
    finally:
        database.close()


def main() -> None:
    parser = argparse.ArgumentParser(description="Fill a folder with the demo datasets and their catalog.")
    parser.add_argument("folder", type=pathlib.Path, help="the folder that exporter.datasets_dir names")
    parser.add_argument("--flights", type=pathlib.Path, help="a Parquet file to copy, if the folder has no flights.parquet")
    arguments = parser.parse_args()
    folder: pathlib.Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)

    flights = folder / "flights.parquet"
    if not flights.exists():
        if arguments.flights is None:
            sys.exit(f"error: {flights} is missing: name a copy with --flights FILE")
        place(flights, lambda part: shutil.copyfile(arguments.flights, part))
    menus = folder / "demo.sqlite"
    if not menus.exists():
        place(menus, create_menus)

    parts = ["catalog.toml"]
    if all((folder / f"{name}.parquet").exists() for name in ("lineitem", "orders")):
        parts.append("tpch.toml")
    catalog = "".join((HERE / part).read_text(encoding="utf-8") for part in parts)
    place(folder / "catalog.toml", lambda part: part.write_text(catalog, encoding="utf-8"))


if __name__ == "__main__":
    main()
