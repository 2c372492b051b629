"""Calls of the REST API."""

from __future__ import annotations

import json
import logging
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import httpx

from ._tokens import TokenSource
from .errors import (
    ConnectionLostError,
    DeadlineError,
    ProtocolError,
    parse_retry_after,
    problem_error,
    status_error,
)

CONNECT_SECONDS = 10.0
REQUEST_SECONDS = 30.0
IDLE_SECONDS = 30.0
"""A download without a byte for this long counts as broken."""
LONG_POLL_SECONDS = 20

_MAX_BODY = 64 * 1024 * 1024
_MAX_PROBLEM = 1024 * 1024
_UNAUTHORIZED = 401
_RANGE_BEYOND_FILE = 416

log = logging.getLogger("sluice_client")


class RestClient:
    """The REST API with a bearer token. Every failure is a `SluiceError`."""

    def __init__(self, base_url: str, tokens: TokenSource, tls: ssl.SSLContext) -> None:
        url = httpx.URL(base_url)
        if url.scheme not in {"http", "https"} or not url.host:
            raise ValueError("the URL of a gateway begins with http:// or https://")
        if url.userinfo or url.query or url.fragment:
            raise ValueError("the URL of a gateway has no user, no query and no fragment")
        self.base_url: str = str(url).rstrip("/")
        self._tokens = tokens
        self._http = httpx.AsyncClient(
            verify=tls,
            timeout=httpx.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS),
            headers={"accept": "application/json, application/problem+json"},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    def websocket_url(self) -> str:
        """Return the URL of the WebSocket."""
        return "ws" + self.base_url.removeprefix("http") + "/v1/ws"

    async def json(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        wait: int = 0,
    ) -> Any:
        """Send a request, and return the JSON of the answer. `wait` asks for a long poll."""
        all_headers = dict(headers or {})
        if wait:
            all_headers["prefer"] = f"wait={wait}"
        if body is not None:
            all_headers["content-type"] = "application/json"
        content = None if body is None else json.dumps(body, allow_nan=False).encode()
        timeout = httpx.Timeout(REQUEST_SECONDS + wait, connect=CONNECT_SECONDS)
        async with self._send(method, path, all_headers, content, timeout) as response:
            await _raise_for_status(response)
            data = await _read(response, _MAX_BODY)
        try:
            return json.loads(data)
        except ValueError as error:
            raise ProtocolError(f"{method} {path}: the answer is no JSON") from error

    async def export(self, export_id: str, *, wait: int = 0) -> Any:
        """Fetch an export. With `wait` the server answers when it ends, or after the seconds."""
        return await self.json("GET", f"/v1/exports/{quote(export_id, safe='')}", wait=wait)

    @asynccontextmanager
    async def file(
        self, export_id: str, *, offset: int, sha256: str
    ) -> AsyncIterator[httpx.Response]:
        """Open the file from an offset. Status 416 means that there are no more bytes."""
        headers = {"accept": "*/*", "accept-encoding": "identity"}
        if offset:
            headers["range"] = f"bytes={offset}-"
            headers["if-range"] = f'"{sha256}"'
        path = f"/v1/exports/{quote(export_id, safe='')}/file"
        timeout = httpx.Timeout(REQUEST_SECONDS, connect=CONNECT_SECONDS, read=IDLE_SECONDS)
        async with self._send("GET", path, headers, None, timeout) as response:
            if response.status_code != _RANGE_BEYOND_FILE:
                await _raise_for_status(response)
            yield response

    @asynccontextmanager
    async def _send(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | None,
        timeout: httpx.Timeout,
    ) -> AsyncIterator[httpx.Response]:
        """Send a request. A refused token is replaced once."""
        try:
            response = await self._send_once(method, path, headers, content, timeout, None)
            if response.status_code == _UNAUTHORIZED:
                newer = await self._tokens.get(refresh=True)
                if f"Bearer {newer}" != response.request.headers["authorization"]:
                    await response.aclose()
                    response = await self._send_once(method, path, headers, content, timeout, newer)
            try:
                yield response
            finally:
                await response.aclose()
        except httpx.TimeoutException as error:
            raise DeadlineError(f"{method} {path}: no answer in time") from error
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
            raise ConnectionLostError(
                f"{method} {path}: no connection to {self.base_url}: {reason}"
            ) from error

    async def _send_once(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str],
        content: bytes | None,
        timeout: httpx.Timeout,
        token: str | None,
    ) -> httpx.Response:
        request = self._http.build_request(
            method, self.base_url + path, headers=dict(headers), content=content, timeout=timeout
        )
        request.headers["authorization"] = f"Bearer {token or await self._tokens.get()}"
        return await self._http.send(request, stream=True)


async def _raise_for_status(response: httpx.Response) -> None:
    if response.is_success:
        return
    retry_after = parse_retry_after(response.headers.get("retry-after"))
    try:
        problem = json.loads(await _read(response, _MAX_PROBLEM))
    except ValueError:
        problem = None
    if isinstance(problem, dict) and "type" in problem and "title" in problem:
        problem.setdefault("status", response.status_code)
        raise problem_error(problem, retry_after)
    raise status_error(response.status_code, response.reason_phrase, retry_after)


async def _read(response: httpx.Response, limit: int) -> bytes:
    """Read a whole body, up to a limit."""
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > limit:
            raise ProtocolError(f"an answer of the server has more than {limit} bytes")
        parts.append(part)
    return b"".join(parts)
