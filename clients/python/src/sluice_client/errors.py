"""The errors that this package raises. Every one is a `SluiceError`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any


class SluiceError(Exception):
    """Base class of all errors of this package."""


class ConnectionLostError(SluiceError):
    """The gateway could not be reached, or the connection to it broke. Try again later."""


class DeadlineError(SluiceError, TimeoutError):
    """The gateway or the export took longer than the caller allows."""


class ProtocolError(SluiceError):
    """The server sent something that the protocol does not allow. Check the URL and the proxies."""


class TokenError(SluiceError):
    """The token provider failed, or it returned something that is no token."""


class EventsLostError(SluiceError):
    """Events were lost. Fetch the state of your exports, then iterate again."""


class DigestError(SluiceError):
    """The received bytes are not the file of the export: size or SHA-256 differ."""


class FileChangedError(SluiceError):
    """The export was computed again, so the bytes received before belong to another file."""


class SaveInProgressError(SluiceError):
    """Another process or thread writes to the same file."""


@dataclass(frozen=True)
class FieldProblem:
    """One invalid member of a request."""

    pointer: str
    """A JSON pointer (RFC 6901) into the request, such as `/filter/delay/gte`."""
    detail: str
    """The fault."""


class ProblemError(SluiceError):
    """The gateway refused a request, or an export ended without a file (RFC 9457)."""

    def __init__(
        self,
        *,
        slug: str,
        title: str,
        status: int = 0,
        detail: str | None = None,
        errors: tuple[FieldProblem, ...] = (),
        trace_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Store the members of the problem document."""
        text = f"{title}: {detail}" if detail else title
        faults = "; ".join(f"{error.pointer}: {error.detail}" for error in errors)
        super().__init__(f"{text} ({faults})" if faults else text)
        self.slug = slug
        """The stable name of the problem, such as `invalid-filter`."""
        self.title = title
        """A short summary of the slug."""
        self.status = status
        """The HTTP status, or 0 when there is none."""
        self.detail = detail
        """The explanation of this occurrence, if there is one."""
        self.errors = errors
        """Each invalid member of the request."""
        self.trace_id = trace_id
        """The id under which the server's logs have the request."""
        self.retry_after = retry_after
        """The seconds to wait before another try, if the server states them."""

    @property
    def pointer(self) -> str | None:
        """The JSON pointer of the first invalid member, if there is one."""
        return self.errors[0].pointer if self.errors else None


class UnauthorizedError(ProblemError):
    """The token is missing, invalid or expired. Pass a newer token, or a `token_provider`."""


class ForbiddenError(ProblemError):
    """The token does not allow the request."""


class NotFoundError(ProblemError):
    """The export or dataset does not exist, or it belongs to another user."""


class ExportFailedError(ProblemError):
    """The export failed, and has no file."""


class ExportCanceledError(ProblemError):
    """The export was canceled, and has no file."""


class FileExpiredError(ProblemError):
    """The file of the export was deleted at the end of its retention. Export it again."""


_CLASSES: dict[str, type[ProblemError]] = {
    "unauthorized": UnauthorizedError,
    "forbidden": ForbiddenError,
    "not-found": NotFoundError,
    "export-failed": ExportFailedError,
    "canceled": ExportCanceledError,
    "expired": FileExpiredError,
}

_SLUGS_OF_STATUS = {
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    410: "expired",
    413: "too-large",
    429: "rate-limited",
    502: "unavailable",
    503: "unavailable",
    504: "unavailable",
}

_FIRST_SERVER_STATUS = 500

TRANSIENT_SLUGS = frozenset({"rate-limited", "unavailable", "internal"})
"""Problems that another try may solve."""


def is_transient(error: SluiceError) -> bool:
    """Whether another try may succeed."""
    if isinstance(error, ProblemError):
        return error.slug in TRANSIENT_SLUGS
    return isinstance(error, (ConnectionLostError, DeadlineError))


def problem_error(problem: Mapping[str, Any], retry_after: float | None = None) -> ProblemError:
    """Create the error of a problem document."""
    status = problem.get("status")
    status = status if isinstance(status, int) else 0
    slug = str(problem.get("type") or "").rsplit("/", 1)[-1]
    if not slug or slug == "about:blank":
        slug = slug_of_status(status)
    faults = tuple(
        FieldProblem(str(fault.get("pointer", "")), str(fault.get("detail", "")))
        for fault in problem.get("errors") or ()
        if isinstance(fault, Mapping)
    )
    detail, trace_id = problem.get("detail"), problem.get("trace_id")
    return _CLASSES.get(slug, ProblemError)(
        slug=slug,
        title=str(problem.get("title") or slug),
        status=status,
        detail=str(detail) if detail else None,
        errors=faults,
        trace_id=str(trace_id) if trace_id else None,
        retry_after=retry_after,
    )


def status_error(status: int, reason: str, retry_after: float | None = None) -> ProblemError:
    """Create the error of an HTTP response without a problem document, such as a proxy's."""
    title = f"HTTP {status} {reason}".strip()
    return problem_error(
        {"type": slug_of_status(status), "title": title, "status": status}, retry_after
    )


def export_error(status: str, problem: Mapping[str, Any] | None) -> ProblemError | None:
    """Create the error of an export that ended without a file; `None` for every other status."""
    if status not in {"failed", "canceled", "expired"}:
        return None
    error = problem_error(problem) if problem else None
    if status == "failed" and not isinstance(error, ExportFailedError):
        # A failed export may have another slug, such as `too-large`.
        return ExportFailedError(
            slug=error.slug if error else "export-failed",
            title=error.title if error else "The export failed",
            status=error.status if error else 0,
            detail=error.detail if error else None,
            errors=error.errors if error else (),
            trace_id=error.trace_id if error else None,
        )
    slug = "export-failed" if status == "failed" else status
    return error or problem_error({"type": slug, "title": f"The export is {status}"})


def slug_of_status(status: int) -> str:
    """Return the slug that an HTTP status implies."""
    default = "internal" if status >= _FIRST_SERVER_STATUS or not status else "invalid-request"
    return _SLUGS_OF_STATUS.get(status, default)


def parse_retry_after(value: str | None) -> float | None:
    """Parse `Retry-After` (RFC 9110), seconds or a date, into seconds from now."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo else at.replace(tzinfo=timezone.utc)
    return max(0.0, (at - datetime.now(timezone.utc)).total_seconds())
