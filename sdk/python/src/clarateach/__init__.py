"""ClaraTeach: hands-on coding workshops in which every learner gets a machine.

>>> client = Client(url, token_file=token_file)
>>> [found.name for found in client.workshops.list()]  # doctest: +ELLIPSIS
[...]

`Client` blocks, `AsyncClient` is for asyncio; they have the same names. Every error is
a `ClarateachError`.
"""

from ._about import VERSION
from ._async.client import AsyncClient
from ._async.command import AsyncCommand
from ._async.files import AsyncFiles
from ._async.seat import AsyncSeat
from ._async.terminal import AsyncTerminal
from ._async.tokens import AsyncTokens
from ._async.visit import AsyncObserver, AsyncSeatWork
from ._async.workshop import AsyncWorkshop
from ._async.workshops import AsyncWorkshops
from ._models.command import CommandEnd, CommandResult
from ._models.files import FileEntry, TransferProgress, TransferResult
from ._models.progress import Progress, TerminalEvent
from ._models.words import (
    EgressMode,
    NoticeKind,
    ObserveMode,
    Role,
    Runtime,
    SeatState,
    WorkerState,
    WorkshopStatus,
)
from ._models.workshop import (
    ApiToken,
    CostEstimate,
    Egress,
    NewToken,
    Notice,
    Preview,
    Resources,
    SeatChange,
    SeatInfo,
    WorkerInfo,
    WorkshopChange,
    WorkshopCost,
    WorkshopInfo,
    WorkshopPage,
)
from ._sync.client import Client
from ._sync.command import Command
from ._sync.files import Files
from ._sync.seat import Seat
from ._sync.terminal import Terminal
from ._sync.tokens import Tokens
from ._sync.visit import Observer, SeatWork
from ._sync.workshop import Workshop
from ._sync.workshops import Workshops
from .errors import (
    AuthError,
    CertificateError,
    ClarateachError,
    CommandFailedError,
    ConflictError,
    ConnectionLostError,
    DeadlineError,
    ExhaustedError,
    FieldViolation,
    FileMissingError,
    InvalidError,
    LocalFileError,
    NotFoundError,
    ServerError,
    UnavailableError,
    UnsupportedError,
    WorkshopFailedError,
)

__version__ = VERSION

__all__ = [
    "ApiToken",
    "AsyncClient",
    "AsyncCommand",
    "AsyncFiles",
    "AsyncObserver",
    "AsyncSeat",
    "AsyncSeatWork",
    "AsyncTerminal",
    "AsyncTokens",
    "AsyncWorkshop",
    "AsyncWorkshops",
    "AuthError",
    "CertificateError",
    "ClarateachError",
    "Client",
    "Command",
    "CommandEnd",
    "CommandFailedError",
    "CommandResult",
    "ConflictError",
    "ConnectionLostError",
    "CostEstimate",
    "DeadlineError",
    "Egress",
    "EgressMode",
    "ExhaustedError",
    "FieldViolation",
    "FileEntry",
    "FileMissingError",
    "Files",
    "InvalidError",
    "LocalFileError",
    "NewToken",
    "NotFoundError",
    "Notice",
    "NoticeKind",
    "ObserveMode",
    "Observer",
    "Preview",
    "Progress",
    "Resources",
    "Role",
    "Runtime",
    "Seat",
    "SeatChange",
    "SeatInfo",
    "SeatState",
    "SeatWork",
    "ServerError",
    "Terminal",
    "TerminalEvent",
    "Tokens",
    "TransferProgress",
    "TransferResult",
    "UnavailableError",
    "UnsupportedError",
    "WorkerInfo",
    "WorkerState",
    "Workshop",
    "WorkshopChange",
    "WorkshopCost",
    "WorkshopFailedError",
    "WorkshopInfo",
    "WorkshopPage",
    "WorkshopStatus",
    "Workshops",
    "__version__",
]
