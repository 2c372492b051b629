"""The reaction to each WebSocket close code of `sluice.v1`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CloseAction:
    """How the client reacts to a close code."""

    meaning: str
    retry: bool
    slug: str = "unavailable"
    new_token: bool = False
    min_delay: float = 0.0


_ACTIONS = {
    1000: CloseAction("closed by request", retry=False),
    1001: CloseAction("the server goes away", retry=True),
    1002: CloseAction("protocol error", retry=False, slug="invalid-request"),
    1007: CloseAction("invalid UTF-8", retry=False, slug="invalid-request"),
    1009: CloseAction("message too big", retry=False, slug="too-large"),
    4400: CloseAction("bad message", retry=False, slug="invalid-request"),
    4401: CloseAction("token expired or revoked", retry=True, slug="unauthorized", new_token=True),
    4403: CloseAction("forbidden", retry=False, slug="forbidden"),
    4408: CloseAction("too slow or no heartbeat", retry=True),
    4409: CloseAction("too many sessions", retry=False, slug="rate-limited"),
    4429: CloseAction("too many messages", retry=True, slug="rate-limited", min_delay=5.0),
    4500: CloseAction("internal error", retry=True, slug="internal"),
}

_CLIENT_ERRORS = range(4400, 4500)


def close_action(code: int) -> CloseAction:
    """Return the reaction to a code. An unknown code gets the reaction of its range."""
    known = _ACTIONS.get(code)
    if known:
        return known
    if code in _CLIENT_ERRORS:
        return CloseAction(f"refused ({code})", retry=False, slug="invalid-request")
    return CloseAction(f"connection lost ({code})", retry=True)
