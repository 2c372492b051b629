"""The state of an unfinished file: a small JSON file beside the part."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

_VERSION = 1
_MAX_BYTES = 16 * 1024 * 1024


@dataclass
class SaveState:
    """What a later run needs to continue. The length of the part is the offset."""

    gateway: str
    """The URL of the gateway."""
    request: dict[str, Any] | None
    """The request of the export; `None` when the caller named an export by its id."""
    key: str
    """The idempotency key of the request: a crash before the answer costs no second export."""
    export_id: str | None = None
    attempt: int | None = None
    """The attempt of the export that made the bytes of the part."""

    def continues(self, other: SaveState) -> bool:
        """Whether the part belongs to the request, or to the export, of another state."""
        if self.gateway != other.gateway:
            return False
        if other.request is None:
            return self.export_id is not None and self.export_id == other.export_id
        return self.request == other.request

    @classmethod
    def load(cls, path: Path) -> SaveState | None:
        """Read a state. A missing or damaged file is no state."""
        try:
            with path.open("rb") as file:
                data = json.loads(file.read(_MAX_BYTES))
        except (OSError, ValueError):
            return None
        if not isinstance(data, dict) or data.pop("version", None) != _VERSION:
            return None
        try:
            return cls(**data)
        except TypeError:
            return None

    def store(self, path: Path) -> None:
        """Write the state so that a crash leaves either the old one or the new one."""
        temporary = path.with_name(path.name + ".new")
        text = json.dumps({"version": _VERSION, **asdict(self)}, indent=1)
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
