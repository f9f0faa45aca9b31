//! Between the schema's messages and the words of the domain.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clarateach_domain::{
    egress::{Allowed, Egress, MAX_ALLOWED},
    ids::{SeatNo, Slot},
    limits::Asked,
    microvm::{MicroVm, MicroVmSpec, MicroVmState, Resources, Runtime},
    text,
};
use clarateach_proto::agent::{self as pb, egress_policy::Mode};
use tonic::Status;
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    config,
    fleet::{EpochReason, FleetError, Notice, Preview},
    network::{NetworkError, Standing},
    tls::IdentityError,
};

/// Characters of a notice.
const MESSAGE_MAX: usize = 512;
/// Names in one environment, and bytes of all of it.
const ENV_NAMES: usize = 256;
const ENV_BYTES: usize = 128 * 1024;

fn bad(field: &'static str, what: impl std::fmt::Display) -> Status {
    let what = what.to_string();
    let message = format!("{field}: {what}");
    let details = ErrorDetails::with_bad_request_violation(field, what);
    Status::with_error_details(tonic::Code::InvalidArgument, message, details)
}

fn reasoned(code: tonic::Code, reason: &'static str, message: String) -> Status {
    let details = ErrorDetails::with_error_info(reason, "clarateach", [] as [(String, String); 0]);
    Status::with_error_details(code, message, details)
}

/// A refusal while draining.
pub(super) fn draining() -> Status {
    reasoned(
        tonic::Code::Unavailable,
        "DRAINING",
        "the worker drains: it starts no more seats".to_owned(),
    )
}

/// A seat's number in the field `field`.
pub(super) fn seat(field: &'static str, raw: u32) -> Result<SeatNo, Status> {
    SeatNo::try_from(raw).map_err(|error| bad(field, error))
}

/// Origins whose pages may come, in their one spelling.
pub(super) fn origins(given: &[String]) -> Result<Vec<String>, Status> {
    let spelled = given.iter().map(|text| config::one_origin(text));
    spelled
        .collect::<Result<_, _>>()
        .map_err(|why| bad("origins", why))
}

/// What a seat shows.
pub(super) fn preview(seat: SeatNo, shown: &Preview) -> pb::WatchPreviewsResponse {
    pb::WatchPreviewsResponse {
        seat: seat.get(),
        lines: shown.lines.clone(),
        changed_at: shown.changed_at.map(timestamp),
        terminals: shown.terminals.clone(),
    }
}

/// A policy that is asked for.
pub(super) fn egress_in(asked: Option<pb::EgressPolicy>) -> Result<Egress, Status> {
    let asked = asked.ok_or_else(|| bad("egress", "must be there"))?;
    if asked.allow.len() > MAX_ALLOWED {
        return Err(bad(
            "egress.allow",
            format!("must have at most {MAX_ALLOWED} entries"),
        ));
    }
    let allow = asked.allow.iter().map(|entry| {
        let parsed: Result<Allowed, _> = entry.parse();
        parsed.map_err(|why| bad("egress.allow", format!("{entry:?} {why}")))
    });
    let allow = allow.collect::<Result<Vec<_>, _>>()?;
    match (asked.mode(), allow.is_empty()) {
        (Mode::Internet, true) => Ok(Egress::Internet),
        (Mode::None, true) => Ok(Egress::None),
        (Mode::AllowList, false) => Ok(Egress::AllowList(allow)),
        (Mode::AllowList, true) => Err(bad("egress.allow", "must name something")),
        (Mode::Unspecified, _) => Err(bad("egress.mode", "must be said")),
        (Mode::Internet | Mode::None, false) => {
            Err(bad("egress.allow", "goes with mode ALLOW_LIST only"))
        }
    }
}

/// The policy in force, if one was ever told.
pub(super) fn egress_out(egress: Option<&Egress>) -> pb::EgressPolicy {
    let (mode, allow) = match egress {
        None => (Mode::Unspecified, vec![]),
        Some(Egress::Internet) => (Mode::Internet, vec![]),
        Some(Egress::None) => (Mode::None, vec![]),
        Some(Egress::AllowList(allow)) => {
            let allow = allow.iter().map(ToString::to_string);
            (Mode::AllowList, allow.collect())
        }
    };
    pb::EgressPolicy {
        mode: mode.into(),
        allow,
    }
}

/// How the walls are.
pub(super) fn network_health(standing: Standing) -> pb::NetworkHealth {
    let (last_drift, last_drift_at) = standing.last_drift.unzip();
    pb::NetworkHealth {
        repairs: standing.repairs,
        last_drift: last_drift.unwrap_or_default(),
        last_drift_at: last_drift_at.map(timestamp),
        fault: standing.fault,
    }
}

/// Why the network is not as it was asked to be.
pub(super) fn network_status(error: NetworkError) -> Status {
    let message = format!("{:#}", anyhow::Error::from(error));
    reasoned(tonic::Code::Internal, "NETWORK", message)
}

/// What a MicroVM should be.
pub(super) fn spec(spec: Option<pb::MicroVmSpec>) -> Result<MicroVmSpec, Status> {
    let spec = spec.ok_or_else(|| bad("spec", "must be there"))?;
    let resources = Resources {
        vcpus: spec.vcpus,
        memory_mib: spec.memory_mib,
        disk_mib: spec.disk_mib,
    };
    let limits = Asked {
        network_mbits: spec.network_mbits,
        disk_mib_per_second: spec.disk_mib_per_second,
        processes: spec.processes,
    };
    let env_bytes: usize = spec.env.iter().map(|(k, v)| k.len() + v.len()).sum();
    if spec.env.len() > ENV_NAMES || env_bytes > ENV_BYTES {
        return Err(bad("spec.env", "at most 256 names and 128 KiB in all"));
    }
    let unfit = |name: &str, value: &str| {
        name.is_empty() || name.contains(['=', '\0']) || value.contains('\0')
    };
    if spec.env.iter().any(|(name, value)| unfit(name, value)) {
        return Err(bad("spec.env", "names without = and no NUL anywhere"));
    }
    Ok(MicroVmSpec {
        seat: seat("spec.seat", spec.seat)?,
        slot: Slot::try_from(spec.slot).map_err(|error| bad("spec.slot", error))?,
        incarnation: spec.incarnation,
        epoch: spec.epoch,
        resources: resources
            .checked(Resources::DEFAULT)
            .map_err(|(field, what)| bad(field, what))?,
        limits: limits.checked().map_err(|(field, what)| bad(field, what))?,
        seats_on_worker: spec.seats_on_worker,
        template: spec.template,
        env: spec.env.into_iter().collect(),
        workshop_name: text::optional_line(&spec.workshop_name, 100)
            .map_err(|error| bad("spec.workshop_name", error))?,
    })
}

/// One seat's epoch.
pub(super) fn epoch(epoch: &pb::SeatEpoch) -> Result<(SeatNo, u64, EpochReason), Status> {
    let reason = match pb::EpochReason::try_from(epoch.reason) {
        Ok(pb::EpochReason::Reset) => EpochReason::Reset,
        Ok(pb::EpochReason::Revoked) => EpochReason::Revoked,
        Ok(pb::EpochReason::Unspecified) | Err(_) => EpochReason::Unspecified,
    };
    Ok((seat("epochs.seat", epoch.seat)?, epoch.epoch, reason))
}

/// A notice and whom it is for.
pub(super) fn notice(request: pb::SendNoticeRequest) -> Result<(Vec<SeatNo>, Notice), Status> {
    if !["preempted", "expiring", "draining", "help"].contains(&request.kind.as_str()) {
        return Err(bad("kind", "must be preempted, expiring, draining or help"));
    }
    let seats = request.seats.iter().map(|raw| seat("seats", *raw));
    let notice = Notice {
        kind: request.kind,
        message: message(&request.message)?,
        at: match request.at {
            Some(at) => Some(time("at", &at)?),
            None => None,
        },
    };
    Ok((seats.collect::<Result<_, _>>()?, notice))
}

/// A notice's text.
pub(super) fn message(text: &str) -> Result<String, Status> {
    text::optional_line(text, MESSAGE_MAX).map_err(|error| bad("message", error))
}

/// A duration that is not negative, if there is one.
pub(super) fn duration(
    field: &'static str,
    raw: Option<prost_types::Duration>,
) -> Result<Option<Duration>, Status> {
    raw.map(Duration::try_from)
        .transpose()
        .map_err(|error| bad(field, error))
}

fn time(field: &'static str, raw: &prost_types::Timestamp) -> Result<DateTime<Utc>, Status> {
    let nanos = u32::try_from(raw.nanos).map_err(|error| bad(field, error))?;
    DateTime::from_timestamp(raw.seconds, nanos).ok_or_else(|| bad(field, "is out of range"))
}

/// A time of ours.
pub(super) fn timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.timestamp(),
        nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or(0),
    }
}

/// A runtime.
pub(super) fn runtime(runtime: Runtime) -> pb::Runtime {
    match runtime {
        Runtime::Firecracker => pb::Runtime::Firecracker,
        Runtime::Container => pb::Runtime::Container,
    }
}

/// A MicroVM as it is.
pub(super) fn micro_vm(vm: &MicroVm) -> pb::MicroVm {
    let state = match vm.state {
        MicroVmState::Queued => pb::MicroVmState::Queued,
        MicroVmState::Booting => pb::MicroVmState::Booting,
        MicroVmState::Ready => pb::MicroVmState::Ready,
        MicroVmState::Restarting => pb::MicroVmState::Restarting,
        MicroVmState::Failed => pb::MicroVmState::Failed,
        MicroVmState::Stopping => pb::MicroVmState::Stopping,
    };
    pb::MicroVm {
        seat: vm.seat.get(),
        slot: vm.slot.into(),
        incarnation: vm.incarnation,
        state: state.into(),
        reason: vm.reason.clone(),
        restarts: vm.restarts,
        ready_at: vm.ready_at.map(timestamp),
        last_input_at: vm.last_input_at.map(timestamp),
        terminals: vm.terminals,
        epoch: vm.epoch,
        queue_position: vm.queue_position,
    }
}

/// What the fleet would not do.
#[allow(clippy::needless_pass_by_value)] // as map_err calls it
pub(super) fn fleet_status(error: FleetError) -> Status {
    let text = chain(&error);
    match error {
        FleetError::Closed => reasoned(tonic::Code::Unavailable, "AGENT_STOPPING", text),
        FleetError::SlotTaken { .. } => {
            reasoned(tonic::Code::FailedPrecondition, "SLOT_TAKEN", text)
        }
        FleetError::SeatElsewhere { .. } => {
            reasoned(tonic::Code::FailedPrecondition, "SEAT_ELSEWHERE", text)
        }
        FleetError::SlotUnread { .. } => {
            reasoned(tonic::Code::FailedPrecondition, "SLOT_UNREAD", text)
        }
        FleetError::Busy(_) => reasoned(tonic::Code::Unavailable, "SEAT_BUSY", text),
        FleetError::Removing(_) => reasoned(tonic::Code::Unavailable, "SEAT_REMOVING", text),
        FleetError::RunDir { .. } | FleetError::Remove { .. } => {
            tracing::error!(error = %text, "fleet failed");
            reasoned(tonic::Code::Internal, "FLEET_FAILED", text)
        }
    }
}

/// What the identity would not take.
#[allow(clippy::needless_pass_by_value)] // as map_err calls it
pub(super) fn identity_status(error: IdentityError) -> Status {
    let text = chain(&error);
    match error {
        IdentityError::Unfit(_) | IdentityError::Refused { .. } | IdentityError::Older { .. } => {
            bad("certificate_chain", text)
        }
        IdentityError::Browsers(_) => bad("private_key", text),
        IdentityError::File { .. }
        | IdentityError::Key(_)
        | IdentityError::Check(_)
        | IdentityError::Ca(_)
        | IdentityError::Name(_) => {
            tracing::error!(error = %text, "identity failed");
            reasoned(tonic::Code::Internal, "IDENTITY_FAILED", text)
        }
    }
}

/// The error and its causes on one line; the control plane logs it.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
