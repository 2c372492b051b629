"""Files: every format, resumed and verified."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import polars.testing
import pytest
from conftest import new_gateway
from data import MARK
from gateway import Gateway, proxy

from sluice_client import (
    AsyncSluice,
    DeadlineError,
    DigestError,
    ExportFailedError,
    ProblemError,
    SavedFile,
    Sluice,
    TransferProgress,
)

SEATTLE = {"origin": {"eq": "SEA"}}
PATIENCE = 240.0
"""No step of a test takes this many seconds."""


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check(file: SavedFile, client: Sluice) -> None:
    """Compare a file with what the gateway says about it."""
    stated = client.get_export(file.export_id).state.file
    assert stated is not None
    assert (file.size, file.rows, file.sha256) == (stated.size, stated.rows, stated.sha256)
    assert file.path.stat().st_size == file.size
    assert sha256(file.path) == file.sha256
    names = {path.name for path in file.path.parent.iterdir()}
    assert not {name for name in names if name.startswith(f"{file.path.name}.part")}


@pytest.mark.parametrize("transport", ["client", "http_client"])
def test_every_format_and_compression(
    transport: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    client: Sluice = request.getfixturevalue(transport)
    formats = client.dataset("types").formats
    assert {one.name for one in formats} >= {"csv", "tsv", "ndjson", "parquet", "xlsx"}
    saved = 0
    for one in formats:
        for compression in one.compressions:
            path = tmp_path / f"{one.name}.{compression}"
            file = client.save("types", path, format=one.name, compression=compression)
            check(file, client)
            assert (file.rows, file.resumed_from) == (3, 0)
            saved += 1
    assert saved == sum(len(one.compressions) for one in formats) >= 13


def test_the_name_states_the_format(client: Sluice, tmp_path: Path) -> None:
    file = client.save("types", tmp_path / "a.csv.gz")
    assert client.get_export(file.export_id).state.compression == "gzip"
    with pytest.raises(ValueError, match="format"):
        client.save("types", tmp_path / "a.bin")


def test_a_file_that_exists_costs_no_export(client: Sluice, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("mine")
    with pytest.raises(FileExistsError):
        client.save("types", path)
    assert path.read_text() == "mine"
    check(client.save("types", path, overwrite=True), client)


def test_progress_reports_each_change(client: Sluice, tmp_path: Path) -> None:
    reports: list[TransferProgress] = []
    file = client.save("flights", tmp_path / "a.csv", filter=SEATTLE, progress=reports.append)
    received = [report.received for report in reports]
    assert received == sorted(received)
    assert received[-1] == file.size
    assert len(set(received)) > 2


def test_the_bar_shows_the_file(
    client: Sluice, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    client.save("types", tmp_path / "a.csv", progress=True)
    assert "a.csv" in capfd.readouterr().err


def kill_in_the_middle(mode: str, gateway: Gateway, token: str, path: Path, received: int) -> None:
    """Run a client until it has received some bytes, and kill it."""
    script = str(Path(__file__).with_name("killed_client.py"))
    with subprocess.Popen(
        [sys.executable, script, mode, gateway.url, str(path), str(received)],
        env={**os.environ, "TOKEN": token},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"stopped\n"
        process.kill()
        process.wait(PATIENCE)


def test_a_killed_reader_continues_at_its_offset(
    gateway: Gateway, token: str, tmp_path: Path
) -> None:
    kill_in_the_middle("read", gateway, token, tmp_path, 1)
    (part,) = tmp_path.glob("*.parquet.part")
    offset = part.stat().st_size
    reports: list[TransferProgress] = []
    with Sluice(gateway.url, token=token) as client:
        frame = client.read_polars(
            "flights", filter=SEATTLE, resume_dir=tmp_path, progress=reports.append
        )
    assert 0 < offset == reports[0].received < reports[-1].received
    source = pl.read_parquet(os.environ["SLUICE_FLIGHTS"]).filter(pl.col("origin") == "SEA")
    polars.testing.assert_frame_equal(frame, source)
    assert list(tmp_path.iterdir()) == []


def test_a_killed_client_continues_at_its_offset(
    gateway: Gateway, token: str, tmp_path: Path
) -> None:
    path = tmp_path / "sea.csv"
    kill_in_the_middle("save", gateway, token, path, 300_000)
    assert not path.exists()
    offset = path.with_name("sea.csv.part").stat().st_size
    state = json.loads(path.with_name("sea.csv.part.json").read_text())
    assert offset >= 300_000
    assert token not in json.dumps(state)
    with proxy(gateway) as counted, Sluice(counted.url, token=token) as other:
        # another URL is another gateway: nothing of the part is used
        assert other.save("types", tmp_path / "x.csv").resumed_from == 0
    with Sluice(gateway.url, token=token) as client:
        reports: list[TransferProgress] = []
        file = client.save("flights", path, filter=SEATTLE, progress=reports.append)
        assert file.export_id == state["export_id"]
        assert file.resumed_from == offset == reports[0].received
        check(file, client)
        whole = client.save("flights", tmp_path / "whole.csv", filter=SEATTLE, template="plain")
        assert whole.rows == file.rows


@pytest.mark.parametrize("use_socket", [True, False])
def test_only_the_rest_of_a_file_is_sent_again(
    gateway: Gateway, token: str, tmp_path: Path, use_socket: bool
) -> None:
    path = tmp_path / "sea.csv"
    with (
        proxy(gateway) as counted,
        Sluice(counted.url, token=token, use_socket=use_socket) as client,
    ):
        export = client.export("flights", format="csv", filter=SEATTLE)
        size = export.wait(timeout=PATIENCE).file.size  # type: ignore[union-attr]
        export.save(path)
        data = path.read_bytes()
        path.rename(path.with_name("sea.csv.part"))
        kept = size - 100_000
        os.truncate(path.with_name("sea.csv.part"), kept)
        state = {"version": 1, "gateway": counted.url, "request": None, "key": "", "attempt": 1}
        path.with_name("sea.csv.part.json").write_text(
            json.dumps({**state, "export_id": export.id})
        )
        before = counted.received
        file = export.save(path)
        assert file.resumed_from == kept
        assert 100_000 <= counted.received - before < 200_000
        assert path.read_bytes() == data
        if not use_socket:
            assert any(f"bytes={kept}-".encode() in sent for sent in counted.requests)


def test_another_request_begins_a_new_export(client: Sluice, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    file = client.save("types", path)
    path.rename(tmp_path / "a.csv.part")
    request = {"dataset": "types", "format": "csv"}
    state = {"version": 1, "gateway": client._client._rest.base_url, "request": request}
    state |= {"key": "k", "export_id": file.export_id, "attempt": 1}
    (tmp_path / "a.csv.part.json").write_text(json.dumps(state))
    again = client.save("types", path)
    assert (again.export_id, again.resumed_from) == (file.export_id, file.size)
    path.rename(tmp_path / "a.csv.part")
    (tmp_path / "a.csv.part.json").write_text(json.dumps(state))
    other = client.save("types", path, columns=["i64"])
    assert other.export_id != file.export_id
    assert other.resumed_from == 0


def test_an_export_that_is_gone_is_made_again(client: Sluice, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    file = client.save("types", path)
    client.get_export(file.export_id).cancel()  # deletes its file
    path.rename(tmp_path / "a.csv.part")
    state = {"version": 1, "gateway": client._client._rest.base_url, "attempt": 1, "key": "k"}
    state |= {"request": {"dataset": "types", "format": "csv"}, "export_id": file.export_id}
    (tmp_path / "a.csv.part.json").write_text(json.dumps(state))
    again = client.save("types", path)
    assert again.export_id != file.export_id
    check(again, client)


@pytest.mark.parametrize("use_socket", [True, False])
def test_a_damaged_byte_is_found(
    gateway: Gateway, token: str, tmp_path: Path, use_socket: bool
) -> None:
    damaged = threading.Event()

    def damage(data: bytes) -> bytes:
        if damaged.is_set() or MARK.encode() not in data:
            return data
        damaged.set()
        return data.replace(MARK.encode(), MARK.upper().encode(), 1)

    with (
        proxy(gateway, damage) as changing,
        Sluice(changing.url, token=token, use_socket=use_socket) as client,
    ):
        with pytest.raises(DigestError, match="SHA-256"):
            client.save("marked", tmp_path / "a.csv")
        assert damaged.is_set()
        assert list(tmp_path.iterdir()) == []
        check(client.save("marked", tmp_path / "a.csv"), client)


def test_a_damaged_part_is_found_and_deleted(client: Sluice, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    export = client.export("marked", format="csv")
    export.save(path)
    data = bytearray(path.read_bytes()[:-100])
    data[50] ^= 1
    path.unlink()
    (tmp_path / "a.csv.part").write_bytes(data)
    state = {"version": 1, "gateway": client._client._rest.base_url, "attempt": 1, "key": ""}
    state |= {"request": None, "export_id": export.id}
    (tmp_path / "a.csv.part.json").write_text(json.dumps(state))
    with pytest.raises(DigestError):
        export.save(path)
    assert list(tmp_path.iterdir()) == []
    check(export.save(path), client)


def test_a_broken_connection_costs_no_byte(
    gateway: Gateway, token: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with proxy(gateway) as breaking, Sluice(breaking.url, token=token) as client:
        dropped = threading.Event()

        def drop(progress: TransferProgress) -> None:
            if progress.received > 300_000 and not dropped.is_set():
                dropped.set()
                breaking.drop()

        with caplog.at_level(logging.INFO, "sluice_client"):
            file = client.save("flights", tmp_path / "a.csv", filter=SEATTLE, progress=drop)
        assert dropped.is_set()
        check(file, client)
    offsets = re.findall(r"interrupted at byte (\d+)", caplog.text)
    assert offsets
    assert int(offsets[0]) >= 300_000
    assert token not in caplog.text


def test_files_come_over_http_where_sockets_are_blocked(
    gateway: Gateway, token: str, tmp_path: Path
) -> None:
    with proxy(gateway) as blocking, Sluice(blocking.url, token=token) as client:
        blocking.refused = b"GET /v1/ws"
        check(client.save("marked", tmp_path / "a.csv"), client)
        assert any(b"/file HTTP" in sent for sent in blocking.requests)


def test_a_killed_gateway_costs_no_byte(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    gateway = new_gateway(tmp_path_factory.mktemp("killed"))
    gateway.start()
    arrived, restarted = threading.Event(), threading.Event()

    def stop(progress: TransferProgress) -> None:
        if progress.received > 300_000 and not arrived.is_set():
            arrived.set()
            assert restarted.wait(PATIENCE)

    try:
        with Sluice(gateway.url, token=gateway.token()) as client, ThreadPoolExecutor() as pool:
            path = tmp_path / "sea.csv"
            saving = pool.submit(client.save, "flights", path, filter=SEATTLE, progress=stop)
            try:
                assert arrived.wait(PATIENCE)
                gateway.kill()
                assert not path.exists()
                gateway.start()
            finally:
                restarted.set()
            check(saving.result(PATIENCE), client)
    finally:
        gateway.stop()


def test_a_failing_export_raises_its_problem(client: Sluice, tmp_path: Path) -> None:
    with pytest.raises(ExportFailedError) as caught:
        client.save("flights", tmp_path / "a.xlsx", filter=SEATTLE)  # too many rows for a workbook
    assert caught.value.slug == "too-large"
    assert "rows" in str(caught.value)
    with pytest.raises(ExportFailedError):
        client.export("flights", format="xlsx", filter=SEATTLE).wait(timeout=PATIENCE)
    assert list(tmp_path.iterdir()) == []


def test_a_refused_request_leaves_nothing(client: Sluice, tmp_path: Path) -> None:
    with pytest.raises(ProblemError) as caught:
        client.save("flights", tmp_path / "a.csv", filter={"orgin": {"eq": "SEA"}})
    assert (caught.value.slug, caught.value.pointer) == ("invalid-filter", "/filter/orgin")
    assert list(tmp_path.iterdir()) == []


def test_a_deadline_keeps_the_part(client: Sluice, tmp_path: Path) -> None:
    with pytest.raises(DeadlineError, match="run it again"):
        client.save("flights", tmp_path / "a.csv", timeout=0.001)
    assert not (tmp_path / "a.csv").exists()


def test_two_saves_of_one_request_share_an_export(client: Sluice, tmp_path: Path) -> None:
    with ThreadPoolExecutor() as pool:
        paths = [tmp_path / "a.csv", tmp_path / "b.csv"]
        files = list(pool.map(lambda path: client.save("flights", path, filter=SEATTLE), paths))
    for file in files:
        check(file, client)


def test_a_canceled_task_keeps_the_part(gateway: Gateway, token: str, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    async def run() -> SavedFile:
        async with AsyncSluice(gateway.url, token=token) as client:

            def cancel(progress: TransferProgress) -> None:
                if progress.received > 300_000:
                    saving.cancel()

            saving = asyncio.ensure_future(
                client.save("flights", path, filter=SEATTLE, progress=cancel)
            )
            with pytest.raises(asyncio.CancelledError):
                await saving
            assert not path.exists()
            return await client.save("flights", path, filter=SEATTLE)

    file = asyncio.run(run())
    assert 300_000 < file.resumed_from < file.size
    assert sha256(path) == file.sha256


def test_a_crash_before_the_answer_costs_no_second_export(client: Sluice, tmp_path: Path) -> None:
    export = client.export("types", format="csv", columns=["u8"], idempotency_key="before")
    (tmp_path / "a.csv.part").touch()
    state = {"version": 1, "gateway": client._client._rest.base_url, "key": "before"}
    state |= {"request": {"dataset": "types", "format": "csv", "columns": ["u8"]}}
    (tmp_path / "a.csv.part.json").write_text(json.dumps(state))
    file = client.save("types", tmp_path / "a.csv", columns=["u8"])
    assert file.export_id == export.id
