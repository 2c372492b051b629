"""What the gateway answers, as typed objects. Unknown members are ignored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from .errors import ProtocolError

END_STATUSES = frozenset({"completed", "unchanged", "failed", "canceled", "expired"})
"""The statuses in which an export no longer runs."""

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Progress:
    """The progress of an export."""

    rows: int
    """The rows written so far."""
    rows_total: int | None
    """All rows, if their number is known."""
    bytes: int
    """The bytes written so far."""
    queue_position: int | None
    """The exports that wait before this one; `None` once it runs."""
    eta_ms: int | None
    """The estimated remaining time in milliseconds, if it is known."""
    waiting_for: str | None
    """The part of the installation that the export waits for, such as `storage`."""

    @classmethod
    def from_json(cls, data: Json) -> Progress:
        """Read the object `progress`."""
        return cls(
            rows=data.get("rows") or 0,
            rows_total=data.get("rows_total"),
            bytes=data.get("bytes") or 0,
            queue_position=data.get("queue_position"),
            eta_ms=data.get("eta_ms"),
            waiting_for=data.get("waiting_for"),
        )


@dataclass(frozen=True)
class ExportFile:
    """The complete file of an export."""

    name: str
    """The suggested file name."""
    size: int
    """The size in bytes."""
    rows: int
    """The number of data rows."""
    sha256: str
    """The SHA-256 in lower-case hex."""
    media_type: str
    """The media type, such as `text/csv`."""

    @classmethod
    def from_json(cls, data: Json) -> ExportFile:
        """Read the object `file`."""
        return cls(
            name=data["name"],
            size=data["size"],
            rows=data["rows"],
            sha256=data["sha256"],
            media_type=data["media_type"],
        )


@dataclass(frozen=True)
class ExportState:
    """The state of an export at one moment."""

    id: str
    dataset: str
    template: str
    format: str
    compression: str
    status: str
    """`queued`, `dispatched`, `running`, `completed`, `failed`, `canceled` or `expired`."""
    attempt: int
    """The number of the current attempt; 0 before the first one."""
    progress: Progress
    file: ExportFile | None
    """The file; `None` unless the status is `completed`."""
    requested_at: datetime
    completed_at: datetime | None
    expires_at: datetime | None
    """The end of the retention of the file."""
    filter: Json = field(default_factory=dict)
    columns: tuple[str, ...] = ()
    params: Json = field(default_factory=dict)
    problem: Json | None = None
    """The problem document of an export that failed or was canceled."""

    @property
    def ended(self) -> bool:
        """Whether the export no longer runs."""
        return self.status in END_STATUSES

    def with_progress(self, progress: Progress) -> ExportState:
        """Return this state with newer progress."""
        return replace(self, progress=progress)

    @classmethod
    def from_json(cls, data: Json) -> ExportState:
        """Read an export object."""
        try:
            return cls(
                id=data["id"],
                dataset=data["dataset"],
                template=data["template"],
                format=data["format"],
                compression=data["compression"],
                status=data["status"],
                attempt=data["attempt"],
                progress=Progress.from_json(data["progress"]),
                file=ExportFile.from_json(data["file"]) if data.get("file") else None,
                requested_at=parse_time(data["requested_at"]),
                completed_at=_optional_time(data.get("completed_at")),
                expires_at=_optional_time(data.get("expires_at")),
                filter=data.get("filter") or {},
                columns=tuple(data.get("columns") or ()),
                params=data.get("params") or {},
                problem=data.get("problem"),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ProtocolError(f"the server sent an incomplete export: {error!r}") from error


@dataclass(frozen=True)
class Column:
    """A column of a dataset."""

    name: str
    type: str
    """`string`, `int`, `float`, `decimal`, `bool`, `date`, `datetime` or `time`."""
    nullable: bool
    label: str | None = None
    local: bool = False
    """Whether the moments of a `datetime` column have no time zone."""
    masked: bool = False
    """Whether the caller sees masked values only."""


@dataclass(frozen=True)
class Format:
    """A format of a dataset."""

    name: str
    compressions: tuple[str, ...]
    media_type: str
    extension: str


@dataclass(frozen=True)
class Dataset:
    """A dataset that the caller may export."""

    name: str
    title: str
    description: str
    columns: tuple[Column, ...]
    params: Json
    """The JSON Schema of the parameters."""
    templates: tuple[str, ...]
    """The names of the templates; the first one is the default."""
    formats: tuple[Format, ...]
    rows_estimate: int | None
    credits: int
    """The price of one export."""

    @classmethod
    def from_json(cls, data: Json) -> Dataset:
        """Read a dataset object."""
        return cls(
            name=data["name"],
            title=data.get("title", ""),
            description=data.get("description", ""),
            columns=tuple(
                Column(
                    name=column["name"],
                    type=column["type"],
                    nullable=column["nullable"],
                    label=column.get("label"),
                    local=column.get("local", False),
                    masked=column.get("masked", False),
                )
                for column in data["columns"]
            ),
            params=data.get("params") or {},
            templates=tuple(template["name"] for template in data["templates"]),
            formats=tuple(
                Format(
                    name=info["name"],
                    compressions=tuple(info["compressions"]),
                    media_type=info["media_type"],
                    extension=info["extension"],
                )
                for info in data.get("formats_info") or ()
            ),
            rows_estimate=data.get("rows_estimate"),
            credits=data.get("credits", 1),
        )


@dataclass(frozen=True)
class Estimate:
    """The estimated size, duration and price of an export."""

    rows: int | None
    exact: bool
    """Whether `rows` was counted."""
    bytes: int | None
    seconds: float | None
    credits: int
    preview: tuple[Json, ...]
    """The first rows, at most ten."""

    @classmethod
    def from_json(cls, data: Json) -> Estimate:
        """Read the answer to an estimate."""
        return cls(
            rows=data.get("rows"),
            exact=data.get("exact", False),
            bytes=data.get("bytes"),
            seconds=data.get("seconds"),
            credits=data.get("credits", 1),
            preview=tuple(data.get("preview") or ()),
        )


@dataclass(frozen=True)
class Event:
    """A numbered event of the caller's account, or a progress report, which has no number."""

    type: str
    """`export.progress`, `export.completed`, `export.failed`, `export.canceled`, and others."""
    seq: int | None
    export_id: str | None
    data: Json
    """The whole message."""

    @classmethod
    def from_json(cls, data: Json) -> Event:
        """Read a message of the socket."""
        export = data.get("export") or {}
        return cls(
            type=data["type"],
            seq=data.get("seq"),
            export_id=data.get("export_id") or export.get("id"),
            data=data,
        )


def parse_time(text: str) -> datetime:
    """Parse RFC 3339. Python 3.10 does not know `Z`."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _optional_time(text: str | None) -> datetime | None:
    return parse_time(text) if text else None
