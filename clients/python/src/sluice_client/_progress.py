"""Progress of a download, for a callback or a bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .models import Progress

if TYPE_CHECKING:
    from typing import TypeAlias


@dataclass(frozen=True)
class TransferProgress:
    """How much of a file has arrived."""

    received: int
    """The bytes received so far, with those of an earlier run."""
    total: int | None
    """The size of the file; `None` while it is unknown."""
    is_estimate: bool
    """Whether `total` is estimated, because the export still runs."""


ProgressOption: TypeAlias = "bool | Callable[[TransferProgress], None]"
"""`True` shows a bar, which needs the extra `progress`. A function is called for each change."""


class Report:
    """Collects what is known about a transfer, and reports each change."""

    def __init__(self, callback: Callable[[TransferProgress], None] | None) -> None:
        self._callback = callback
        self._received = 0
        self._size: int | None = None
        self._estimate: int | None = None

    def received(self, position: int) -> None:
        """Record the position in the file."""
        self._received = position
        self._tell()

    def size(self, size: int) -> None:
        """Record the size of the complete file."""
        self._size = size
        self._tell()

    def rows(self, progress: Progress) -> None:
        """Estimate the size from the rows written so far."""
        if progress.rows and progress.rows_total and progress.rows_total >= progress.rows:
            self._estimate = round(progress.bytes * progress.rows_total / progress.rows)

    def _tell(self) -> None:
        if not self._callback:
            return
        total = self._size
        if total is None and self._estimate is not None:
            total = max(self._estimate, self._received)
        is_estimate = total is not None and self._size is None
        self._callback(TransferProgress(self._received, total, is_estimate))


@contextmanager
def reporting(option: ProgressOption, title: str) -> Iterator[Report]:
    """Create the report that the option `progress` of a call asks for."""
    if option is False:
        yield Report(None)
    elif option is True:
        bar = _new_bar(title)
        try:
            yield Report(lambda progress: _show(bar, progress))
        finally:
            bar.close()
    else:
        yield Report(option)


def check_progress(option: ProgressOption) -> None:
    """Raise `ImportError` before the export begins, if the bar's package is missing."""
    if option is True:
        _tqdm()


def _tqdm() -> Any:
    try:
        from tqdm import tqdm
    except ImportError as error:
        raise ImportError(
            "the progress bar needs tqdm: pip install 'sluice-client[progress]'"
        ) from error
    return tqdm


def _new_bar(title: str) -> Any:
    return _tqdm()(desc=title, unit="B", unit_scale=True, unit_divisor=1024)


def _show(bar: Any, progress: TransferProgress) -> None:
    if progress.total is not None and progress.total != bar.total:
        bar.total = progress.total
    if progress.received < bar.n:
        bar.reset(total=progress.total)  # the file began again
    bar.update(progress.received - bar.n)
