"""Bearer tokens. No token appears in a URL, a log line, a `repr` or an error."""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from .errors import DeadlineError, SluiceError, TokenError

if TYPE_CHECKING:
    from typing import TypeAlias

TokenProvider: TypeAlias = "Callable[[bool], str | Awaitable[str]]"
"""Returns a token. `True` asks for a newer one: the last one was refused, or it expires soon."""

_TOKEN = re.compile(r"[\x21-\x7e]+")
_PROVIDER_SECONDS = 30.0


class TokenSource:
    """The token of a client: a fixed one, or that of a provider."""

    __slots__ = ("_fixed", "_provider")

    def __init__(self, token: str | None, provider: TokenProvider | None) -> None:
        if (token is None) == (provider is None):
            raise ValueError("pass either `token` or `token_provider`")
        self._fixed = None if token is None else _checked(token)
        self._provider = provider

    def __repr__(self) -> str:
        return f"TokenSource({'fixed' if self._provider is None else 'provider'})"

    async def get(self, *, refresh: bool = False) -> str:
        """Return the token, or a newer one if there is one.

        A provider that is no coroutine function runs in a worker thread, because it may block.
        """
        if self._provider is None:
            return self._fixed or ""
        try:
            with anyio.fail_after(_PROVIDER_SECONDS):
                if inspect.iscoroutinefunction(self._provider):
                    token = await self._provider(refresh)
                else:
                    answer = await anyio.to_thread.run_sync(
                        self._provider, refresh, abandon_on_cancel=True
                    )
                    token = await answer if inspect.isawaitable(answer) else answer
        except SluiceError:
            raise
        except TimeoutError as error:
            text = f"the token provider gave no token within {_PROVIDER_SECONDS:.0f} s"
            raise DeadlineError(text) from error
        except Exception as error:
            raise TokenError(f"the token provider failed: {type(error).__name__}") from error
        return _checked(token)


def _checked(token: object) -> str:
    """Return a token without white space around it. An error does not contain the token."""
    text = token.strip() if isinstance(token, str) else ""
    if not _TOKEN.fullmatch(text):
        raise TokenError("the token is empty or has characters that no token has")
    return text
