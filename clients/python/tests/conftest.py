"""One real Sluice for all tests. Without the programs the tests that need it are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from data import CATALOG, write_marked, write_types
from gateway import Gateway

from sluice_client import Sluice

NAMED = ("SLUICE_BIN", "SLUICE_NATS_SERVER", "SLUICE_FLIGHTS")
SETTINGS = {
    "SLUICE_CREDITS__INITIAL_BALANCE": "1000000",
    "SLUICE_CREDITS__DAILY_GRANT": "0",
    "SLUICE_EXPORTER__MAX_WORKBOOK_ROWS": "5000",
}


def new_gateway(folder: Path) -> Gateway:
    """Prepare a Sluice with the datasets of the tests."""
    missing = [name for name in NAMED if not os.environ.get(name)]
    if missing:
        pytest.skip(f"{missing[0]} names no file")
    datasets = folder / "datasets"
    datasets.mkdir(parents=True)
    shutil.copyfile(os.environ["SLUICE_FLIGHTS"], datasets / "flights.parquet")
    write_types(datasets / "types.parquet")
    write_marked(datasets / "marked.parquet")
    catalog = datasets / "catalog.toml"
    catalog.write_text(CATALOG, encoding="utf-8")
    return Gateway(folder, catalog, SETTINGS)


@pytest.fixture(scope="session")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """A running Sluice."""
    running = new_gateway(tmp_path_factory.mktemp("sluice"))
    running.start()
    try:
        yield running
    finally:
        running.stop()


@pytest.fixture(scope="session")
def token(gateway: Gateway) -> str:
    """A token of alice."""
    return gateway.token()


@pytest.fixture
def client(gateway: Gateway, token: str) -> Iterator[Sluice]:
    """A blocking client."""
    with Sluice(gateway.url, token=token) as running:
        yield running


@pytest.fixture
def http_client(gateway: Gateway, token: str) -> Iterator[Sluice]:
    """A blocking client without WebSockets."""
    with Sluice(gateway.url, token=token, use_socket=False) as running:
        yield running
