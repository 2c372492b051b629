"""An unfinished file, `NAME.part`, which gets its name only after it is verified."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from ._lock import try_lock
from ._state_file import SaveState
from .errors import SaveInProgressError

_BLOCK = 1024 * 1024
_OPEN = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)


class PartFile:
    """The part and its state, locked against other processes. A sink of a download."""

    def __init__(self, target: Path, *, overwrite: bool) -> None:
        # a link is followed, so that its target becomes the file
        self.target = target = Path(os.path.realpath(target))
        self._overwrite = overwrite
        self._part = target.with_name(target.name + ".part")
        self._state_path = target.with_name(target.name + ".part.json")
        self.state: SaveState | None = None
        if target.exists() and not target.is_file():
            raise FileExistsError(f"{target} is no regular file")
        if not overwrite:
            self._check_free()
        self._file = self._open()

    def _check_free(self) -> None:
        if self.target.exists():
            raise FileExistsError(
                f"{self.target} exists: pass overwrite=True to replace it, or choose another name"
            )

    def _open(self) -> BinaryIO:
        while True:
            descriptor = os.open(self._part, _OPEN, 0o666)
            file = os.fdopen(descriptor, "r+b", buffering=0)
            if not try_lock(descriptor):
                file.close()
                raise SaveInProgressError(f"another process or thread writes to {self._part}")
            try:
                if os.path.samestat(self._part.stat(), os.fstat(descriptor)):
                    return file
            except FileNotFoundError:
                pass
            file.close()  # another process finished the file before this one got the lock

    @property
    def closed(self) -> bool:
        """Whether the part is closed."""
        return self._file.closed

    def known_state(self) -> SaveState:
        """Return the state, which every part has after `resume` or `begin`."""
        if self.state is None:
            raise RuntimeError("the part has no state")
        return self.state

    def resume(self, wanted: SaveState) -> bool:
        """Take the stored state if it belongs to the wanted one; else begin at 0."""
        found = SaveState.load(self._state_path)
        if found and found.continues(wanted):
            self.state = found
            return True
        self.begin(wanted)
        return False

    def begin(self, state: SaveState) -> None:
        """Begin at 0 with a new state."""
        self._file.seek(0)
        self._file.truncate(0)
        self._store(state)

    def set_export(self, export_id: str) -> None:
        """Record the export of the request."""
        state = self.known_state()
        state.export_id = export_id
        self._store(state)

    def set_attempt(self, attempt: int) -> None:
        """Record the attempt whose bytes follow."""
        state = self.known_state()
        state.attempt = attempt
        self._store(state)

    def rehash(self) -> tuple[int, hashlib._Hash]:
        """Return the length of the part, and a SHA-256 state over its bytes."""
        digest = hashlib.sha256()
        self._file.seek(0)
        length = 0
        while block := self._file.read(_BLOCK):
            digest.update(block)
            length += len(block)
        return length, digest

    def write(self, data: memoryview | bytes) -> None:
        """Append bytes."""
        rest = memoryview(data)
        while rest:
            rest = rest[self._file.write(rest) :]

    def reset(self) -> None:
        """Discard all bytes."""
        state = self.known_state()
        self._file.seek(0)
        self._file.truncate(0)
        state.attempt = None
        self._store(state)

    def finish(self) -> None:
        """Give the verified file its name."""
        os.fsync(self._file.fileno())
        if sys.platform == "win32":
            self._file.close()
        if self._overwrite:
            self._part.replace(self.target)
        else:
            self._rename_to_free_name()
        self.close()
        self._state_path.unlink(missing_ok=True)
        _sync_folder(self.target.parent)

    def _rename_to_free_name(self) -> None:
        """Rename without replacing a file that appeared meanwhile."""
        if sys.platform != "win32":
            try:
                os.link(self._part, self.target)
            except FileExistsError:
                self._check_free()
                raise
            except OSError:
                self._check_free()  # a file system without hard links
            else:
                self._part.unlink()
                return
        self._part.rename(self.target)

    def discard(self) -> None:
        """Delete the part, because it can't become the file."""
        self.close()
        self._part.unlink(missing_ok=True)
        self._state_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the part. A later run continues at its end."""
        self._file.close()

    def close_unused(self) -> None:
        """Close the part, and delete it if it has no byte and no export."""
        if not (self.state and self.state.export_id) and not os.fstat(self._file.fileno()).st_size:
            self.discard()
        else:
            self.close()

    def _store(self, state: SaveState) -> None:
        self.state = state
        state.store(self._state_path)


def _sync_folder(folder: Path) -> None:
    """Make a rename survive a power loss, where the system can do it."""
    if sys.platform == "win32":
        return
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
