"""Frames equal their source, in values and in types."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pandas as pd
import polars as pl
import polars.testing
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from data import KEPT, TEXTS
from gateway import Gateway

from sluice_client import AsyncSluice, Sluice

SEATTLE = {"origin": {"eq": "SEA"}}


@pytest.fixture(scope="session")
def flights() -> pa.Table:
    """The source of the dataset `flights`."""
    return pq.read_table(os.environ["SLUICE_FLIGHTS"])


@pytest.fixture(scope="session")
def seattle(flights: pa.Table) -> pa.Table:
    """The rows that the filter leaves."""
    rows = flights.filter(pc.equal(flights["origin"], "SEA"))
    assert rows.num_rows > 10_000
    return rows


def plain(table: pa.Table) -> pa.Table:
    """Texts as `large_string`: Parquet has one type of text, and Arrow three."""
    is_text = {"string", "string_view"}
    fields = [
        field.with_type(pa.large_string()) if str(field.type) in is_text else field
        for field in table.schema
    ]
    return table.cast(pa.schema(fields)).replace_schema_metadata(None).combine_chunks()


def test_flights_as_polars(client: Sluice) -> None:
    frame = client.read_polars("flights")
    source = pl.read_parquet(os.environ["SLUICE_FLIGHTS"])
    assert frame.height == 3_000_000
    assert frame.schema == source.schema
    polars.testing.assert_frame_equal(frame, source)


def test_flights_as_arrow(client: Sluice, seattle: pa.Table) -> None:
    table = client.read_arrow("flights", filter=SEATTLE)
    assert plain(table).equals(plain(seattle))
    assert table.schema.types == plain(seattle).schema.types


def test_flights_as_pandas(client: Sluice, seattle: pa.Table) -> None:
    frame = client.read_pandas("flights", filter=SEATTLE)
    expected = plain(seattle).to_pandas(types_mapper=pd.ArrowDtype)
    pd.testing.assert_frame_equal(frame, expected)
    assert str(frame["delay"].dtype) == "int64[pyarrow]"


def test_columns_and_coroutines(gateway: Gateway, token: str, seattle: pa.Table) -> None:
    async def run() -> pl.DataFrame:
        async with AsyncSluice(gateway.url, token=token) as client:
            return await client.read_polars("flights", filter=SEATTLE, columns=["delay", "date"])

    frame = asyncio.run(run())
    expected = pl.DataFrame(pl.from_arrow(seattle)).select("delay", "date")
    polars.testing.assert_frame_equal(frame, expected)


def test_every_type_as_arrow(client: Sluice) -> None:
    table = client.read_arrow("types")
    assert table.column_names == [*KEPT, *TEXTS]
    for name, (kind, values) in KEPT.items():
        assert table.schema.field(name).type == kind, name
        expected = pa.chunked_array([pa.array(values, kind)])
        if name == "f64":  # NaN equals nothing
            assert str(table[name].to_pylist()) == str(expected.to_pylist())
        else:
            assert table[name].equals(expected), name
    for name, (_, _, texts) in TEXTS.items():
        assert table.schema.field(name).type == pa.large_string(), name
        assert table[name].to_pylist() == texts


def test_every_type_as_polars(client: Sluice, gateway: Gateway) -> None:
    frame = client.read_polars("types")
    source = pl.read_parquet(gateway.data_dir / "datasets" / "types.parquet")
    for name in KEPT:
        assert frame.schema[name] == source.schema[name], name
        polars.testing.assert_series_equal(frame[name], source[name])


def test_every_type_as_pandas(client: Sluice) -> None:
    frame = client.read_pandas("types")
    for name, (kind, values) in KEPT.items():
        assert frame[name].dtype == pd.ArrowDtype(kind), name
        expected = pd.Series(pa.array(values, kind), dtype=pd.ArrowDtype(kind), name=name)
        pd.testing.assert_series_equal(frame[name], expected)
    assert frame["i64"].isna().tolist() == [False, True, False]
    assert int(frame["i64"][2]) == 2**63 - 1


def test_a_frame_of_an_export(client: Sluice, seattle: pa.Table) -> None:
    export = client.export("flights", filter=SEATTLE)
    assert plain(export.read_arrow()).equals(plain(seattle))
    assert export.read_polars().height == seattle.num_rows
    assert len(export.read_pandas()) == seattle.num_rows


def test_a_frame_needs_parquet(client: Sluice) -> None:
    with pytest.raises(ValueError, match="parquet"):
        client.export("types", format="csv").read_polars()


def test_a_folder_for_resuming_is_empty_at_the_end(client: Sluice, tmp_path: Path) -> None:
    assert client.read_polars("types", resume_dir=tmp_path).height == 3
    assert list(tmp_path.iterdir()) == []
