"""What is told while something is awaited."""

from __future__ import annotations

from dataclasses import dataclass

from .words import WorkshopStatus


@dataclass(frozen=True)
class Progress:
    """How far a workshop is on its way to running."""

    workshop_id: str
    status: WorkshopStatus
    reason: str
    """What is awaited, for people."""
    seats_ready: int
    seats: int
    elapsed: float
    """Seconds since the wait began."""


@dataclass(frozen=True)
class TerminalEvent:
    """Something about a terminal that is not its output."""

    kind: str
    """`reconnecting`, `reconnected`, `restarted` (another shell, from its first
    byte), `lost` (output that is kept no longer was skipped), `live` (a replay is
    over), `resized`, `viewers`, `notice` or `refused`."""
    detail: dict[str, object]
    """As the wire has it: `{"bytes": 17}` for `lost`, `{"n": 2}` for `viewers`."""
