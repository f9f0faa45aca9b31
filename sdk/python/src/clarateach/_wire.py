"""The schema's messages, as values of ours and back. The only place, with the
calls themselves, that knows protobuf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Any, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from ._generated import workshop_pb2 as pb
from ._models import words
from ._models.workshop import (
    ApiToken,
    CostEstimate,
    Egress,
    Notice,
    Preview,
    Resources,
    SeatChange,
    SeatInfo,
    WorkerInfo,
    WorkshopChange,
    WorkshopCost,
    WorkshopInfo,
)
from ._retry import Seconds, seconds
from .errors import ClarateachError, InvalidError

W = TypeVar("W", bound=words.Word)


@contextmanager
def checked() -> Iterator[None]:
    """Around a request that is put together: what cannot be said becomes `InvalidError`."""
    try:
        yield
    except ClarateachError:
        raise
    except (TypeError, ValueError) as cause:
        raise InvalidError(f"this cannot be asked for: {cause}", reason="INVALID") from cause


def word(kind: type[W], name_of: Callable[[Any], str], prefix: str, number: int) -> W:
    """A number of the schema as a word; one that is not known here stays a number."""
    try:
        name = name_of(number)
    except ValueError:
        return kind(str(number))
    return kind(name.removeprefix(prefix).lower())


def runtime(name: str) -> pb.Runtime.ValueType:
    """`container` or `firecracker`. Raises `InvalidError`."""
    try:
        return pb.Runtime.Value(f"RUNTIME_{str(words.Runtime(name)).upper()}")
    except ValueError as cause:
        raise InvalidError(
            f"runtime must be container or firecracker, not {name!r}", reason="INVALID"
        ) from cause


def observe_mode(name: str) -> pb.AttachMode.ValueType:
    """`observe` or `assist`. Raises `InvalidError`."""
    try:
        return pb.AttachMode.Value(f"ATTACH_MODE_{str(words.ObserveMode(name)).upper()}")
    except ValueError as cause:
        raise InvalidError(
            f"mode must be observe or assist, not {name!r}", reason="INVALID"
        ) from cause


def duration(length: Seconds | None) -> Duration | None:
    """None stays absent, which leaves it to the server."""
    if length is None:
        return None
    told = Duration()
    with checked():
        told.FromNanoseconds(round(seconds(length) * 1e9))
    return told


def moment(holder: Timestamp, *, there: bool) -> datetime | None:
    """In UTC."""
    return holder.ToDatetime(tzinfo=timezone.utc) if there else None


def resources(wanted: Resources) -> pb.Resources:
    """As the schema has it."""
    return pb.Resources(
        vcpus=wanted.vcpus,
        memory_mib=wanted.memory_mib,
        disk_mib=wanted.disk_mib,
        network_mbits=wanted.network_mbits,
        disk_mib_per_second=wanted.disk_mib_per_second,
        processes=wanted.processes,
    )


def egress(wanted: Egress) -> pb.EgressPolicy:
    """As the schema has it. Raises `InvalidError`."""
    try:
        mode = pb.EgressPolicy.Mode.Value(f"MODE_{str(wanted.mode).upper()}")
    except ValueError as cause:
        raise InvalidError(
            "egress.mode must be internet, none or allow_list", reason="INVALID"
        ) from cause
    return pb.EgressPolicy(mode=mode, allow=wanted.allow)


def _worker(worker: pb.Worker) -> WorkerInfo:
    return WorkerInfo(
        name=worker.name,
        address=worker.address,
        zone=worker.zone,
        state=word(words.WorkerState, pb.WorkerState.Name, "WORKER_STATE_", worker.state),
        reason=worker.reason,
        certificate_expires_at=moment(
            worker.certificate_expires_at, there=worker.HasField("certificate_expires_at")
        ),
        agent_version=worker.agent_version,
        network=worker.network,
    )


def seat_state(number: int) -> words.SeatState:
    """Where a seat's machine is."""
    return word(words.SeatState, pb.SeatState.Name, "SEAT_STATE_", number)


def seat(said: pb.Seat) -> SeatInfo:
    """A seat, as an instructor sees it."""
    return SeatInfo(
        workshop_id=said.workshop_id,
        seat=said.seat,
        state=seat_state(said.state),
        reason=said.reason,
        taken=said.taken,
        learner=said.learner,
        joined_at=moment(said.joined_at, there=said.HasField("joined_at")),
        last_input_at=moment(said.last_input_at, there=said.HasField("last_input_at")),
        terminals=said.terminals,
        restarts=said.restarts,
        epoch=said.epoch,
        worker=said.worker,
    )


def preview(said: pb.WatchPreviewsResponse) -> Preview:
    """What a seat shows."""
    changed = moment(said.changed_at, there=said.HasField("changed_at"))
    return Preview(said.seat, tuple(said.lines), changed, tuple(said.terminals))


def estimate(said: pb.EstimateCostResponse) -> CostEstimate:
    """A price."""
    return CostEstimate(said.total_microusd, said.workers, said.explanation)


def costs(said: pb.GetCostsResponse) -> dict[str, WorkshopCost]:
    """What workshops have cost, by their ids."""
    return {
        cost.workshop_id: WorkshopCost(
            cost.worker_time.ToTimedelta(),
            cost.total_microusd / 1_000_000 if said.price_known else None,
            said.explanation,
        )
        for cost in said.costs
    }


def _status(number: int) -> words.WorkshopStatus:
    return word(words.WorkshopStatus, pb.WorkshopStatus.Name, "WORKSHOP_STATUS_", number)


def workshop(said: pb.Workshop) -> WorkshopInfo:
    """A workshop with its workers and seats."""
    has, limits, way_out = said.HasField, said.resources, said.egress
    return WorkshopInfo(
        id=said.id,
        name=said.name,
        seats=said.seats,
        runtime=word(words.Runtime, pb.Runtime.Name, "RUNTIME_", said.runtime),
        code=said.code,
        status=_status(said.status),
        reason=said.reason,
        created_at=moment(said.created_at, there=has("created_at")),
        expires_at=moment(said.expires_at, there=has("expires_at")),
        deleted_at=moment(said.deleted_at, there=has("deleted_at")),
        workers=tuple(map(_worker, said.workers)),
        seat_list=tuple(map(seat, said.seat_list)),
        resources=Resources(
            limits.vcpus,
            limits.memory_mib,
            limits.disk_mib,
            limits.network_mbits,
            limits.disk_mib_per_second,
            limits.processes,
        ),
        egress=Egress(
            word(words.EgressMode, pb.EgressPolicy.Mode.Name, "MODE_", way_out.mode),
            tuple(way_out.allow),
        ),
        template=said.template,
        instructions=said.instructions,
        owner=said.owner,
        env_names=tuple(said.env_names),
        ca_certificate=said.ca_certificate,
        revision=said.revision,
    )


def _notices(said: Iterable[pb.Notice]) -> tuple[Notice, ...]:
    return tuple(
        Notice(
            word(words.NoticeKind, pb.Notice.Kind.Name, "KIND_", notice.kind),
            notice.message,
            moment(notice.at, there=notice.HasField("at")),
        )
        for notice in said
    )


def workshop_change(said: pb.WatchWorkshopResponse, before: WorkshopInfo) -> WorkshopChange:
    """A message with notices alone leaves the workshop as it was `before`."""
    now = workshop(said.workshop) if said.HasField("workshop") else before
    return WorkshopChange(now, _notices(said.notices))


def seat_change(said: pb.WatchSeatResponse) -> SeatChange:
    """What a learner is told of the seat."""
    return SeatChange(
        state=seat_state(said.state),
        reason=said.reason,
        queue_position=said.queue_position,
        notices=_notices(said.notices),
        expires_at=moment(said.expires_at, there=said.HasField("expires_at")),
        workshop_status=_status(said.workshop_status),
        revision=said.revision,
    )


def api_token(said: pb.ApiToken) -> ApiToken:
    """What is known of a token."""
    return ApiToken(
        id=said.id,
        label=said.label,
        principal=said.principal,
        role=word(words.Role, pb.Role.Name, "ROLE_", said.role),
        created_at=moment(said.created_at, there=said.HasField("created_at")),
        revoked_at=moment(said.revoked_at, there=said.HasField("revoked_at")),
    )
