"""The Python client of Sluice: exports as files and data frames, resumed and verified.

```python
from sluice_client import Sluice

with Sluice("https://exports.example.com", token=token) as sluice:
    frame = sluice.read_polars("flights", filter={"origin": {"eq": "SEA"}})
    sluice.save("flights", "flights.csv.gz")
```

`AsyncSluice` has the same methods for coroutines.
"""

from ._async_client import AsyncSluice
from ._handle import AsyncExport
from ._progress import TransferProgress
from ._sync_client import Sluice
from ._sync_handle import Export
from ._tokens import TokenProvider
from ._transfers import SavedFile
from .errors import (
    ConnectionLostError,
    DeadlineError,
    DigestError,
    EventsLostError,
    ExportCanceledError,
    ExportFailedError,
    FieldProblem,
    FileChangedError,
    FileExpiredError,
    ForbiddenError,
    NotFoundError,
    ProblemError,
    ProtocolError,
    SaveInProgressError,
    SluiceError,
    TokenError,
    UnauthorizedError,
)
from .models import (
    Column,
    Dataset,
    Estimate,
    Event,
    ExportFile,
    ExportState,
    Format,
    Progress,
)
from .request import RequestOptions

__all__ = [
    "AsyncExport",
    "AsyncSluice",
    "Column",
    "ConnectionLostError",
    "Dataset",
    "DeadlineError",
    "DigestError",
    "Estimate",
    "Event",
    "EventsLostError",
    "Export",
    "ExportCanceledError",
    "ExportFailedError",
    "ExportFile",
    "ExportState",
    "FieldProblem",
    "FileChangedError",
    "FileExpiredError",
    "ForbiddenError",
    "Format",
    "NotFoundError",
    "ProblemError",
    "Progress",
    "ProtocolError",
    "RequestOptions",
    "SaveInProgressError",
    "SavedFile",
    "Sluice",
    "SluiceError",
    "TokenError",
    "TokenProvider",
    "TransferProgress",
    "UnauthorizedError",
]
