//! Domain words to the agent's wire and back; wire types go no further. What an
//! agent says is kept within what a row can hold: a worker that was taken over
//! spoils its own seats and not the workshop.

use chrono::{DateTime, TimeDelta, Utc};
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
        network_mbits: spec.limits.network_mbits,
        disk_mib_per_second: spec.limits.disk_mib_per_second,
        processes: spec.limits.processes,
        seats_on_worker: spec.seats_on_worker,
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
    let now = Utc::now();
    list.iter().filter_map(|mv| micro_vm(mv, now)).collect()
}

fn micro_vm(mv: &pb::MicroVm, now: DateTime<Utc>) -> Option<MicroVm> {
    // Only what can have happened: a clock that is a day off is no clock.
    let past = |at| time(at).filter(|at| *at <= now + TimeDelta::days(1));
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
        reason: words(&mv.reason, 500),
        restarts: count(mv.restarts),
        epoch: mv.epoch,
        ready_at: mv.ready_at.and_then(past),
        last_input_at: mv.last_input_at.and_then(past),
        terminals: count(mv.terminals),
        queue_position: count(mv.queue_position),
    })
}

pub(super) fn expiry(worker: &pb::Worker) -> Option<DateTime<Utc>> {
    worker.certificate_expires_at.and_then(time)
}

/// What an agent says for people to read: no control characters, `limit`
/// characters at most.
pub(super) fn words(text: &str, limit: usize) -> String {
    let plain = text.chars().filter(|c| !c.is_control());
    plain.take(limit).collect()
}

/// Columns are signed.
fn count(said: u32) -> u32 {
    said.min(i32::MAX.unsigned_abs())
}

/// None for a time before this project, or so late that reckoning with it
/// could overflow.
pub(super) fn time(at: prost_types::Timestamp) -> Option<DateTime<Utc>> {
    const YEAR_2020: i64 = 1_577_836_800;
    const YEAR_2200: i64 = 7_258_118_400;
    let sane = (YEAR_2020..YEAR_2200).contains(&at.seconds);
    let nanos = u32::try_from(at.nanos).ok().filter(|_| sane)?;
    DateTime::from_timestamp(at.seconds, nanos)
}

pub(super) fn timestamp(at: DateTime<Utc>) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.timestamp(),
        nanos: i32::try_from(at.timestamp_subsec_nanos()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_row_could_hold_is_cut_before_it_gets_there() {
        let now = Utc::now();
        let stamp = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
        let said = pb::MicroVm {
            seat: 1,
            slot: 1,
            state: pb::MicroVmState::Ready.into(),
            reason: "all\u{1b}[31m red\n".into(),
            restarts: u32::MAX,
            terminals: u32::MAX,
            queue_position: u32::MAX,
            ..Default::default()
        };
        let heard = micro_vm(&said, now).unwrap();
        let limit = i32::MAX.unsigned_abs();
        assert_eq!(
            [heard.restarts, heard.terminals, heard.queue_position],
            [limit; 3]
        );
        assert_eq!(heard.reason, "all[31m red");
        let day = 86_400;
        for (seconds, kept) in [
            (now.timestamp() - day, true),
            (now.timestamp() + 60, true),
            (now.timestamp() + 2 * day, false),
            (0, false),
            (-1, false),
            (i64::MIN, false),
            (i64::MAX, false),
        ] {
            let said = pb::MicroVm {
                ready_at: stamp(seconds),
                last_input_at: stamp(seconds),
                ..said.clone()
            };
            let heard = micro_vm(&said, now).unwrap();
            assert_eq!(heard.ready_at.is_some(), kept, "{seconds}");
            assert_eq!(heard.last_input_at.is_some(), kept, "{seconds}");
            let worker = pb::Worker {
                certificate_expires_at: stamp(seconds),
                ..Default::default()
            };
            // Renewal reckons with it.
            let half = expiry(&worker).map(|ends| ends - TimeDelta::hours(12));
            assert!(half.is_none() || seconds > 0);
        }
    }
}
