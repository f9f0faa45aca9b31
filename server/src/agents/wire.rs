//! Domain words to the agent's wire and back; wire types go no further.

use chrono::{DateTime, Utc};
use clarateach_domain::{
    ids::{SeatNo, Slot},
    microvm::{MicroVm, MicroVmSpec, MicroVmState},
    plan::EpochReason,
};
use clarateach_proto::agent as pb;

pub(super) fn create(spec: MicroVmSpec) -> pb::CreateMicroVmRequest {
    let spec = pb::MicroVmSpec {
        seat: spec.seat.get(),
        slot: spec.slot.into(),
        incarnation: spec.incarnation,
        epoch: spec.epoch,
        vcpus: spec.resources.vcpus,
        memory_mib: spec.resources.memory_mib,
        disk_mib: spec.resources.disk_mib,
        template: spec.template,
        env: spec.env.into_iter().collect(),
        workshop_name: spec.workshop_name,
    };
    pb::CreateMicroVmRequest { spec: Some(spec) }
}

pub(super) fn epochs(epochs: &[(SeatNo, u64, Option<EpochReason>)]) -> pb::SetSeatEpochsRequest {
    let epochs = epochs.iter().map(|(seat, epoch, reason)| pb::SeatEpoch {
        seat: seat.get(),
        epoch: *epoch,
        reason: match reason {
            None => pb::EpochReason::Unspecified,
            Some(EpochReason::Reset) => pb::EpochReason::Reset,
            Some(EpochReason::Revoked) => pb::EpochReason::Revoked,
        }
        .into(),
    });
    pb::SetSeatEpochsRequest {
        epochs: epochs.collect(),
    }
}

/// What an agent lists; entries that make no sense are left out, as if the
/// agent did not have them.
pub(super) fn micro_vms(list: &[pb::MicroVm]) -> Vec<MicroVm> {
    list.iter().filter_map(micro_vm).collect()
}

fn micro_vm(mv: &pb::MicroVm) -> Option<MicroVm> {
    let state = match mv.state() {
        pb::MicroVmState::Unspecified => return None,
        pb::MicroVmState::Queued => MicroVmState::Queued,
        pb::MicroVmState::Booting => MicroVmState::Booting,
        pb::MicroVmState::Ready => MicroVmState::Ready,
        pb::MicroVmState::Restarting => MicroVmState::Restarting,
        pb::MicroVmState::Failed => MicroVmState::Failed,
        pb::MicroVmState::Stopping => MicroVmState::Stopping,
    };
    Some(MicroVm {
        seat: SeatNo::try_from(mv.seat).ok()?,
        slot: Slot::try_from(mv.slot).ok()?,
        incarnation: mv.incarnation,
        state,
        reason: mv.reason.chars().take(500).collect(),
        restarts: mv.restarts,
        epoch: mv.epoch,
        ready_at: mv.ready_at.and_then(time),
        last_input_at: mv.last_input_at.and_then(time),
        terminals: mv.terminals,
        queue_position: mv.queue_position,
    })
}

pub(super) fn expiry(worker: &pb::Worker) -> Option<DateTime<Utc>> {
    worker.certificate_expires_at.and_then(time)
}

fn time(at: prost_types::Timestamp) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.seconds, u32::try_from(at.nanos).ok()?)
}

pub(super) fn timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.timestamp(),
        nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or(0),
    }
}
