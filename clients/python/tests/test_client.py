"""Exports, events and tokens."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from gateway import Gateway, proxy

from sluice_client import (
    AsyncSluice,
    ConnectionLostError,
    DeadlineError,
    Event,
    ExportCanceledError,
    NotFoundError,
    ProblemError,
    Sluice,
    UnauthorizedError,
)

SEATTLE = {"origin": {"eq": "SEA"}}
PATIENCE = 60.0


def test_datasets_and_estimates(client: Sluice) -> None:
    assert [dataset.name for dataset in client.datasets()] == ["flights", "marked", "types"]
    columns = {column.name: column for column in client.dataset("flights").columns}
    assert (columns["date"].type, columns["date"].local) == ("datetime", True)
    estimate = client.estimate("types")
    assert (estimate.rows, len(estimate.preview), estimate.credits) == (3, 3, 1)


def test_an_export_reports_progress_until_its_end(client: Sluice) -> None:
    export = client.export("flights", filter=SEATTLE, columns=["date"])
    last = None
    for progress in export:
        last = progress
    assert last is not None
    assert export.status == "completed"
    assert last.rows == export.state.progress.rows == client.get_export(export.id).state.file.rows  # type: ignore[union-attr]
    assert repr(export) == f"<Export {export.id} of 'flights': completed>"


def test_progress_of_coroutines_without_a_socket(gateway: Gateway, token: str) -> None:
    async def run() -> str:
        with proxy(gateway) as blocking:
            blocking.refused = b"GET /v1/ws"
            async with AsyncSluice(blocking.url, token=token) as client:
                export = await client.export("flights", filter=SEATTLE, columns=["delay"])
                async for progress in export:
                    assert progress.rows >= 0
                return (await export.wait()).status

    assert asyncio.run(run()) == "completed"


def test_a_canceled_export_has_no_file(client: Sluice, tmp_path: Path) -> None:
    export = client.export("flights", format="csv", compression="zstd")
    with ThreadPoolExecutor() as pool:
        saving = pool.submit(export.save, tmp_path / "a.csv.zst")
        next(iter(client.get_export(export.id)))
        export.cancel()
        with pytest.raises(ExportCanceledError):
            export.wait(timeout=PATIENCE)
        with pytest.raises(ExportCanceledError):
            saving.result(PATIENCE)
    assert export.refresh().status == "canceled"
    assert list(tmp_path.iterdir()) == []


def test_a_wait_has_a_deadline(client: Sluice) -> None:
    export = client.export("flights", format="ndjson")
    with pytest.raises(DeadlineError):
        export.wait(timeout=0.001)
    export.cancel()


def test_one_key_is_one_export(client: Sluice) -> None:
    first = client.export("types", idempotency_key="same")
    first.wait(timeout=PATIENCE)
    assert client.export("types", idempotency_key="same").id == first.id
    with pytest.raises(ProblemError) as caught:
        client.export("types", columns=["i8"], idempotency_key="same")
    assert caught.value.slug == "idempotency-conflict"


def test_exports_of_others_are_not_found(client: Sluice, gateway: Gateway) -> None:
    export = client.export("types")
    with Sluice(gateway.url, token=gateway.token(sub="bob")) as other:
        with pytest.raises(NotFoundError):
            other.get_export(export.id)


def test_a_refused_token_is_replaced_once(gateway: Gateway, token: str) -> None:
    calls: list[bool] = []

    def provider(refresh: bool) -> str:
        calls.append(refresh)
        return token if refresh else "refused"

    with Sluice(gateway.url, token_provider=provider) as client:
        assert client.datasets()
        assert calls == [False, True]
        assert client.read_arrow("types").num_rows == 3
    with Sluice(gateway.url, token="refused") as client, pytest.raises(UnauthorizedError):
        client.read_arrow("types")


def test_a_session_outlives_its_first_token(gateway: Gateway) -> None:
    refreshed = threading.Event()
    first = gateway.token(ttl="4s")

    def provider(refresh: bool) -> str:
        if refresh:
            refreshed.set()
        return gateway.token() if refreshed.is_set() else first

    with Sluice(gateway.url, token_provider=provider) as client:
        assert client.read_arrow("types").num_rows == 3
        connection = client._client._session.connection
        assert connection is not None
        assert refreshed.wait(PATIENCE)
        deadline = time.monotonic() + PATIENCE
        with Sluice(gateway.url, token=first) as expired, pytest.raises(UnauthorizedError):
            while time.monotonic() < deadline:
                expired.datasets()
                time.sleep(0.1)
        assert client.read_arrow("types", columns=["i16"]).num_rows == 3
        assert client._client._session.connection is connection


def test_an_api_key_is_a_token(gateway: Gateway) -> None:
    key = gateway.api_key()
    assert key.startswith("slk_")
    with Sluice(gateway.url, token=key) as client:
        assert client.read_arrow("types").num_rows == 3
        assert client._client._session.connection is not None, "a session without an expiry"


def test_each_event_arrives_once_also_across_an_outage(gateway: Gateway, token: str) -> None:
    completed: list[str] = []
    first = threading.Event()
    ids: list[str] = []

    with (
        proxy(gateway) as breaking,
        Sluice(breaking.url, token=token) as reader,
        Sluice(gateway.url, token=token, use_socket=False) as writer,
        ThreadPoolExecutor() as pool,
    ):

        def read() -> None:
            for event in reader.events():
                assert isinstance(event, Event)
                if event.type == "export.completed" and event.export_id is not None:
                    completed.append(event.export_id)
                    first.set()
                    if event.export_id in ids[2:]:
                        return

        def export(column: str) -> None:
            handle = writer.export("types", columns=[column])
            ids.append(handle.id)
            handle.wait(timeout=PATIENCE)

        reading = pool.submit(read)
        while not first.is_set():  # the session may open after the first export
            ids.clear()
            export("i8")
            first.wait(1)
        completed[:] = completed[-1:]
        try:
            breaking.is_open = False
            breaking.drop()
            export("i16")
            breaking.is_open = True
            export("i32")
            reading.result(PATIENCE)
        finally:
            reader.close()  # ends the other thread too
    assert completed[-2:] == ids[1:]
    assert len(set(completed)) == len(completed)


def test_a_gateway_that_is_away_is_one_clear_error() -> None:
    with Sluice("http://127.0.0.1:9", token="t") as client:
        with pytest.raises(ConnectionLostError, match=r"127\.0\.0\.1:9"):
            client.datasets()


def test_no_log_and_no_request_line_has_the_token(
    gateway: Gateway, token: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), proxy(gateway) as recording:
        with Sluice(recording.url, token=token) as client:
            client.read_arrow("types")
    assert token not in caplog.text
    lines = [sent.split(b"\r\n", 1)[0] for sent in recording.requests]
    assert not [line for line in lines if token.encode() in line]
    assert any(line.startswith(b"GET /v1/ws ") for line in lines)


def test_a_closed_client_says_so(gateway: Gateway, token: str) -> None:
    client = Sluice(gateway.url, token=token)
    client.close()
    client.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.datasets()


@pytest.mark.parametrize(
    ("package", "method", "extra"),
    [
        ("polars", "read_polars", "polars"),
        ("pandas", "read_pandas", "pandas"),
        ("pyarrow", "read_pandas", "pandas"),
        ("pyarrow", "read_arrow", "arrow"),
    ],
)
def test_a_missing_package_names_its_extra(
    monkeypatch: pytest.MonkeyPatch, package: str, method: str, extra: str
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with Sluice("http://127.0.0.1:9", token="t") as client:
        with pytest.raises(ImportError, match=rf"sluice-client\[{extra}\]"):
            getattr(client, method)("flights")


def test_an_interrupt_keeps_the_part(gateway: Gateway, token: str, tmp_path: Path) -> None:
    script = Path(__file__).with_name("interrupted_client.py")
    path = tmp_path / "a.csv"
    with subprocess.Popen(
        [sys.executable, str(script), gateway.url, str(path)],
        env={**os.environ, "TOKEN": token},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"bytes\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode != 0
    assert b"KeyboardInterrupt" in errors
    assert token.encode() not in errors
    assert path.with_name("a.csv.part").stat().st_size > 0
    assert not path.exists()
    state = json.loads(path.with_name("a.csv.part.json").read_text())
    with Sluice(gateway.url, token=token) as client:
        client.get_export(state["export_id"]).cancel()
