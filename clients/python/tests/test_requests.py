"""Requests, tokens and errors."""

from __future__ import annotations

import asyncio
import logging
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from sluice_client import (
    DeadlineError,
    ExportFailedError,
    ProblemError,
    Sluice,
    TokenError,
    UnauthorizedError,
)
from sluice_client._connection import _socket_log
from sluice_client._tokens import TokenSource
from sluice_client.errors import export_error, parse_retry_after, problem_error, status_error
from sluice_client.request import RequestOptions, build_request, format_of_path, to_json


def test_problems_become_typed_errors() -> None:
    error = problem_error(
        {
            "type": "/problems/invalid-filter",
            "title": "The filter is not valid",
            "status": 422,
            "detail": "unknown column",
            "errors": [{"pointer": "/filter/x", "detail": "unknown column"}],
        }
    )
    assert type(error) is ProblemError
    assert (error.slug, error.status, error.pointer) == ("invalid-filter", 422, "/filter/x")
    assert "/filter/x" in str(error)
    assert isinstance(problem_error({"type": "/problems/unauthorized"}), UnauthorizedError)
    assert status_error(503, "Service Unavailable").slug == "unavailable"
    assert status_error(418, "").slug == "invalid-request"


def test_a_failed_export_is_one_class_with_any_slug() -> None:
    error = export_error("failed", {"type": "/problems/too-large", "title": "Too large"})
    assert isinstance(error, ExportFailedError)
    assert error.slug == "too-large"
    assert export_error("failed", None) is not None
    assert export_error("running", None) is None


def test_retry_after_is_seconds_or_a_date() -> None:
    soon = (datetime.now(timezone.utc) + timedelta(seconds=90)).strftime(
        "%a, %d %b %Y %H:%M:%S GMT"
    )
    assert parse_retry_after("7") == 7
    assert 80 < (parse_retry_after(soon) or 0) <= 90
    assert parse_retry_after("soon") is None
    assert parse_retry_after(None) is None


def test_requests_have_json_of_the_protocol() -> None:
    moment = datetime(2026, 3, 29, 4, 30, tzinfo=timezone(timedelta(hours=2)))
    values = [
        moment,
        datetime(2026, 3, 29),
        date(2026, 3, 29),
        Decimal("1.50"),
        float("nan"),
        -float("inf"),
    ]
    assert to_json({"x": {"in": values}}) == {
        "x": {
            "in": [
                "2026-03-29T02:30:00Z",
                "2026-03-29T00:00:00",
                "2026-03-29",
                "1.50",
                "NaN",
                "-INF",
            ]
        }
    }
    with pytest.raises(TypeError, match="bytes"):
        to_json(b"x")


def test_requests_refuse_unknown_options() -> None:
    options: RequestOptions = {"columns": ["a"], "filter": None}
    assert build_request("d", options, format="csv") == {
        "dataset": "d",
        "format": "csv",
        "columns": ["a"],
    }
    with pytest.raises(TypeError, match="'where'"):
        build_request("d", {"where": 1})  # type: ignore[typeddict-unknown-key]
    with pytest.raises(TypeError, match="list"):
        build_request("d", {"columns": "a"})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.csv", ("csv", None)),
        ("a.b.CSV.gz", ("csv", "gzip")),
        ("a.jsonl.zst", ("ndjson", "zstd")),
        ("a.parquet", ("parquet", None)),
        ("a.zip", (None, None)),
        ("a.gz", (None, None)),
        ("a", (None, None)),
    ],
)
def test_names_state_format_and_compression(
    name: str, expected: tuple[str | None, str | None]
) -> None:
    assert format_of_path(Path(name)) == expected


@pytest.mark.parametrize("token", ["", " ", "a b", "a\nb", "\u00e9"])
def test_a_malformed_token_is_refused_and_not_shown(token: str) -> None:
    with pytest.raises(TokenError) as caught:
        TokenSource(token, None)
    assert token.strip() == "" or token not in str(caught.value)


def test_a_client_does_not_show_its_token() -> None:
    with Sluice("http://127.0.0.1:9", token="secret-token") as client:
        assert "secret-token" not in repr(client)
        assert repr(client) == "<Sluice of http://127.0.0.1:9>"
    assert "secret-token" not in repr(TokenSource("secret-token", None))


@pytest.mark.parametrize(
    "url", ["127.0.0.1", "ftp://127.0.0.1", "http://user@127.0.0.1", "http://127.0.0.1?a"]
)
def test_a_wrong_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="gateway"):
        Sluice(url, token="t")


def test_debug_records_of_the_socket_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    _socket_log.setLevel(logging.DEBUG)
    try:
        with caplog.at_level(logging.DEBUG):
            _socket_log.debug("> Authorization: Bearer secret-token")
    finally:
        _socket_log.setLevel(logging.INFO)
    assert "secret-token" not in caplog.text


def test_a_provider_is_called_with_refresh_and_may_be_a_coroutine_function() -> None:
    calls: list[bool] = []

    def blocking(refresh: bool) -> str:
        calls.append(refresh)
        return " t1\n"

    async def coroutine(refresh: bool) -> str:
        calls.append(refresh)
        return "t2"

    def failing(_refresh: bool) -> str:
        raise RuntimeError("secret-token")

    async def run() -> None:
        assert await TokenSource(None, blocking).get() == "t1"
        assert await TokenSource(None, coroutine).get(refresh=True) == "t2"
        with pytest.raises(TokenError) as caught:
            await TokenSource(None, failing).get()
        assert "secret-token" not in str(caught.value)

    asyncio.run(run())
    assert calls == [False, True]


def test_a_deadline_is_a_timeout_error_too() -> None:
    assert issubclass(DeadlineError, TimeoutError)
