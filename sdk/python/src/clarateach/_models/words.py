"""The schema's enumerations, as words."""

from __future__ import annotations

from enum import Enum


class Word(str, Enum):
    """A word of the schema. One that a later server sends is kept as it came."""

    @classmethod
    def _missing_(cls, value: object) -> Word:
        # Neither remembered nor listed: only carried through.
        word = str.__new__(cls, value)
        word._name_ = str(value).upper()
        word._value_ = str(value)
        return word

    def __str__(self) -> str:
        return str(self.value)


class Runtime(Word):
    """What gives a seat its machine."""

    FIRECRACKER = "firecracker"
    CONTAINER = "container"


class WorkshopStatus(Word):
    """Where a workshop is in its life.

    >>> WorkshopStatus("running") is WorkshopStatus.RUNNING
    True
    >>> WorkshopStatus("17").value
    '17'
    """

    PROVISIONING = "provisioning"
    RUNNING = "running"
    DEGRADED = "degraded"
    STOPPING = "stopping"
    STOPPED = "stopped"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"


class WorkerState(Word):
    """Where a worker is in its life."""

    CREATING = "creating"
    BOOTING = "booting"
    READY = "ready"
    UNREACHABLE = "unreachable"
    STOPPED = "stopped"
    DELETING = "deleting"
    DELETED = "deleted"


class SeatState(Word):
    """Where a seat's machine is in its life."""

    WAITING = "waiting"
    BOOTING = "booting"
    READY = "ready"
    RESTARTING = "restarting"
    FAILED = "failed"
    REMOVING = "removing"
    STOPPED = "stopped"


class ObserveMode(Word):
    """How an instructor takes part in a learner's terminal."""

    OBSERVE = "observe"
    ASSIST = "assist"


class EgressMode(Word):
    """How open the way to the internet is."""

    INTERNET = "internet"
    NONE = "none"
    ALLOW_LIST = "allow_list"


class NoticeKind(Word):
    """What a notice is about."""

    PREEMPTED = "preempted"
    EXPIRING = "expiring"
    DRAINING = "draining"
    HELP = "help"
    COLLECTED = "collected"


class Role(Word):
    """What a principal may do."""

    ADMIN = "admin"
    INSTRUCTOR = "instructor"
