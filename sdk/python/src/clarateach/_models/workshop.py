"""A workshop, its workers and its seats, as they were at one moment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from .words import (
    EgressMode,
    NoticeKind,
    Role,
    Runtime,
    SeatState,
    WorkerState,
    WorkshopStatus,
)


@dataclass(frozen=True)
class Resources:
    """What each seat's machine has; 0 leaves it to the server."""

    vcpus: int = 0
    """Virtual CPUs, 1 to 8."""
    memory_mib: int = 0
    """Memory in MiB, 128 to 16384."""
    disk_mib: int = 0
    """Writable disk in MiB, 64 to 65536."""
    network_mbits: int = 0
    """Network in Mbit/s each way, 1 to 32000."""
    disk_mib_per_second: int = 0
    """Disk in MiB/s each way, 1 to 10000."""
    processes: int = 0
    """Processes and threads of a container, 64 to 32768."""


@dataclass(frozen=True)
class Egress:
    """What seats may reach on the internet.

    >>> Egress(EgressMode.ALLOW_LIST, ["pypi.org", "*.pythonhosted.org"]).allow
    ('pypi.org', '*.pythonhosted.org')
    """

    mode: EgressMode = EgressMode.INTERNET
    """How open the way is."""
    allow: Sequence[str] = ()
    """Host names and IPv4 ranges, with mode ALLOW_LIST only; at most 100."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "allow", tuple(self.allow))


@dataclass(frozen=True)
class WorkerInfo:
    """One worker of a workshop: a VM, or a network namespace on one box."""

    name: str
    address: str
    """Where its agent answers, HOST:PORT; empty until known."""
    zone: str
    state: WorkerState
    reason: str
    """Why, for people."""
    certificate_expires_at: datetime | None
    agent_version: str
    network: str
    """How the walls around its seats stand; empty if nothing was ever found changed."""


@dataclass(frozen=True)
class SeatInfo:
    """One seat, as an instructor sees it."""

    workshop_id: str
    seat: int
    """Its number, from 1."""
    state: SeatState
    reason: str
    """Why, for people."""
    taken: bool
    """Whether a learner holds it."""
    learner: str
    """What the learner calls themselves."""
    joined_at: datetime | None
    last_input_at: datetime | None
    """When the learner last typed."""
    terminals: int
    """Terminals open now."""
    restarts: int
    """How often its machine was started again by itself."""
    epoch: int
    """Grows when the seat is reset or revoked."""
    worker: str


@dataclass(frozen=True)
class Notice:
    """Something people should know now."""

    kind: NoticeKind
    message: str
    at: datetime | None
    """When it happens."""


@dataclass(frozen=True)
class WorkshopInfo:
    """A workshop, as it was at one moment."""

    id: str
    name: str
    seats: int
    """How many seats are wanted."""
    runtime: Runtime
    code: str = field(repr=False)
    """The join code."""
    status: WorkshopStatus
    reason: str
    """Why it is there and what happens next, for people."""
    created_at: datetime | None
    expires_at: datetime | None
    """When its time is over and it deletes itself."""
    deleted_at: datetime | None
    workers: tuple[WorkerInfo, ...] = field(repr=False)
    seat_list: tuple[SeatInfo, ...] = field(repr=False)
    """By number; empty in lists of workshops."""
    resources: Resources = field(repr=False)
    egress: Egress = field(repr=False)
    template: str = field(repr=False)
    instructions: str = field(repr=False)
    owner: str = field(repr=False)
    env_names: tuple[str, ...] = field(repr=False)
    """Names of the variables given to seats; values are never shown."""
    ca_certificate: str = field(repr=False)
    """The certificate of the workshop's own CA, PEM."""
    revision: int
    """Grows with every change."""

    @property
    def seats_ready(self) -> int:
        """How many seats answer."""
        return sum(seat.state is SeatState.READY for seat in self.seat_list)


@dataclass(frozen=True)
class WorkshopChange:
    """What a watch of a workshop gives."""

    workshop: WorkshopInfo
    """The whole workshop, as it is now."""
    notices: tuple[Notice, ...]
    """Since the last change."""


@dataclass(frozen=True)
class SeatChange:
    """What a watch of a learner's seat gives."""

    state: SeatState
    reason: str
    queue_position: int
    """Seats that start before this one; 0 when it is ready or next."""
    notices: tuple[Notice, ...]
    expires_at: datetime | None
    """When the workshop ends."""
    workshop_status: WorkshopStatus
    revision: int


@dataclass(frozen=True)
class WorkshopPage:
    """One page of workshops."""

    workshops: tuple[WorkshopInfo, ...]
    """Newest first, without their seat lists."""
    next_page_token: str
    """For the next page; empty at the end."""


@dataclass(frozen=True)
class CostEstimate:
    """What a workshop would cost."""

    total_microusd: int
    """Millionths of a US dollar."""
    workers: int
    """Workers that it would take."""
    explanation: str
    """How the figure came about, for people."""

    @property
    def total_usd(self) -> float:
        """In US dollars."""
        return self.total_microusd / 1_000_000


@dataclass(frozen=True)
class WorkshopCost:
    """What a workshop has cost so far."""

    worker_time: timedelta
    """How long its workers have run, all of them together."""
    total_usd: float | None
    """In US dollars; None where the server was not told what a worker costs."""
    explanation: str
    """How the figure came about, for people."""


@dataclass(frozen=True)
class Preview:
    """What one seat's terminal shows: of several, the one that wrote last."""

    seat: int
    lines: tuple[str, ...]
    """The last lines of its screen, without colours; empty without a terminal."""
    changed_at: datetime | None
    """When it last wrote."""
    terminals: tuple[str, ...] = ()
    """The names of the seat's terminals."""


@dataclass(frozen=True)
class ApiToken:
    """What is known of an API token: never its text."""

    id: str
    label: str
    principal: str
    """Whom it speaks for."""
    role: Role
    created_at: datetime | None
    revoked_at: datetime | None


@dataclass(frozen=True)
class NewToken:
    """An API token that was just made."""

    token: str = field(repr=False)
    """Its text, which no server shows again."""
    info: ApiToken
