//! What was seen, in the words that people read: pure, from a look and a plan
//! to seats and workers as rows say them.

use clarateach_domain::{
    ending::Ending,
    microvm::{MicroVm, MicroVmState},
    network::NetworkNews,
    plan::{AgentSeen, Ground, Plan, SeatWant, SeatWish, Want, WorkerSeen},
    workshop::{Desired, Phase, SeatState, WorkerState},
};
use metrics::counter;
use tracing::warn;

use super::observe::Looked;
use crate::store::{
    settle::{SeatRow, Settling},
    sights::WorkerSight,
    usual::WAITS,
};

/// Every seat's row as it should read now.
pub(super) fn seats(of: &Settling, looked: &Looked, plan: &Plan) -> Vec<SeatRow> {
    let rows = of.want.seats.iter().zip(&of.seats);
    rows.map(|(want, old)| {
        let worker = looked.seen.workers.get(&want.worker);
        seat((want, &of.want), old, worker, plan)
    })
    .collect()
}

fn seat(
    (want, of): (&SeatWant, &Want),
    old: &SeatRow,
    worker: Option<&WorkerSeen>,
    plan: &Plan,
) -> SeatRow {
    let mut row = old.clone();
    let mut say = |state, reason: &str| {
        row.state = state;
        reason.clone_into(&mut row.reason);
    };
    match plan.phase {
        Phase::Stopped | Phase::Stopping if of.desired == Desired::Stopped => {
            say(SeatState::Stopped, "the workshop is stopped");
        }
        Phase::Stopped | Phase::Stopping => say(SeatState::Stopped, BY_HAND),
        Phase::Deleted => say(SeatState::Stopped, "the workshop is deleted"),
        Phase::Failed => say(SeatState::Failed, &plan.reason),
        Phase::Deleting => say(SeatState::Removing, "the workshop is being deleted"),
        Phase::Provisioning | Phase::Running | Phase::Degraded => match worker {
            Some(WorkerSeen {
                agent: AgentSeen::Answers { seats, .. },
                ..
            }) => {
                let mv = seats.iter().find(|mv| mv.seat == want.seat);
                return with_agent(want, row, mv);
            }
            // Not heard of for a moment: it most likely is as it was.
            Some(WorkerSeen {
                ground: Ground::Up | Ground::Unknown,
                agent: AgentSeen::Silent,
                ..
            }) if old.state != SeatState::Waiting => {}
            Some(worker) if worker.held(of.since) => say(SeatState::Stopped, BY_HAND),
            Some(_) | None => say(SeatState::Waiting, WAITS),
        },
    }
    if row.state != SeatState::Ready {
        row.terminals = 0;
        row.queue_position = 0;
    }
    row
}

fn with_agent(want: &SeatWant, mut row: SeatRow, mv: Option<&MicroVm>) -> SeatRow {
    let (state, reason) = match (want.wish, mv) {
        (SeatWish::Removed, _) => (SeatState::Removing, "its machine is being removed"),
        (SeatWish::Kept | SeatWish::Revoked, None) => (SeatState::Waiting, "waiting for its turn"),
        (SeatWish::Kept | SeatWish::Revoked, Some(mv)) if mv.incarnation < want.incarnation => {
            (SeatState::Removing, "it gets a fresh machine")
        }
        (SeatWish::Kept | SeatWish::Revoked, Some(mv)) => (
            match mv.state {
                MicroVmState::Queued => SeatState::Waiting,
                MicroVmState::Booting => SeatState::Booting,
                MicroVmState::Ready => SeatState::Ready,
                MicroVmState::Restarting => SeatState::Restarting,
                MicroVmState::Failed => SeatState::Failed,
                MicroVmState::Stopping => SeatState::Removing,
            },
            mv.reason.as_str(),
        ),
    };
    row.state = state;
    reason.clone_into(&mut row.reason);
    if let Some(mv) = mv {
        row.queue_position = mv.queue_position;
        row.restarts = mv.restarts;
        row.terminals = mv.terminals;
        row.ready_at = mv.ready_at;
        // Never backwards: a fresh agent may not know of earlier keys.
        if mv.incarnation == want.incarnation && want.wish == SeatWish::Kept {
            row.last_input_at = row.last_input_at.max(mv.last_input_at);
        }
    } else {
        row.queue_position = 0;
        row.terminals = 0;
        row.ready_at = None;
    }
    row
}

/// What a worker's row says while its VM is being taken away.
pub(super) const PREEMPTED: &str = "its VM is being taken away, and comes back with its files";

/// What a worker's row says of a VM that somebody stopped at its cloud.
pub(super) const BY_HAND: &str =
    "its VM was stopped by hand, and comes back with its files when the workshop is started";

/// Every worker's row as it should read now.
pub(super) fn workers(of: &Settling, looked: &Looked) -> Vec<WorkerSight> {
    let seen = looked.seen.workers.iter();
    seen.map(|(&ordinal, worker)| {
        let old = of.workers.get(&ordinal);
        let before = || old.map(|row| row.network.clone()).unwrap_or_default();
        let ready_before = old.is_some_and(|row| row.ready_at.is_some());
        let (state, reason) = match (of.want.desired, worker.ground, &worker.agent) {
            (Desired::Absent, _, _) | (_, Ground::Ending, _) => {
                (WorkerState::Deleting, "being removed")
            }
            (_, Ground::Up | Ground::Unknown, AgentSeen::Answers { .. })
                if looked.preempted.contains(&ordinal) =>
            {
                (WorkerState::Ready, PREEMPTED)
            }
            (_, Ground::Up | Ground::Unknown, AgentSeen::Answers { .. }) => {
                (WorkerState::Ready, "its agent answers")
            }
            (_, Ground::Missing, _) if worker.ending == Some(Ending::DeletedByHand) => (
                WorkerState::Creating,
                "its VM was deleted by hand and is made anew, without the files",
            ),
            (_, Ground::Missing, _) => (WorkerState::Creating, "being made"),
            (Desired::Present, Ground::Stopped, _) if worker.held(of.want.since) => {
                (WorkerState::Stopped, BY_HAND)
            }
            (_, Ground::Stopped | Ground::Stopping, _)
                if looked.preempted.contains(&ordinal)
                    || old.is_some_and(|row| row.reason == PREEMPTED) =>
            {
                (WorkerState::Stopped, PREEMPTED)
            }
            (_, Ground::Stopped | Ground::Stopping, _) => (WorkerState::Stopped, "stopped"),
            (_, Ground::Broken, _) if ready_before => (WorkerState::Unreachable, "being repaired"),
            (_, Ground::Up, AgentSeen::Asking) => (WorkerState::Booting, "gets its certificate"),
            (_, Ground::Unknown, AgentSeen::Silent | AgentSeen::Asking) => {
                let state = old.map_or(WorkerState::Creating, |row| row.state);
                // What was said of its end stays: after a failed look it would be told again.
                let said = old.map(|row| row.reason.as_str());
                let said = said.filter(|reason| [PREEMPTED, BY_HAND].contains(reason));
                (state, said.unwrap_or("its provisioner could not be asked"))
            }
            (_, Ground::Up | Ground::Making, AgentSeen::Silent) if ready_before => {
                (WorkerState::Unreachable, "its agent does not answer")
            }
            (_, Ground::Up | Ground::Making | Ground::Broken, _) => {
                (WorkerState::Booting, "its agent does not answer yet")
            }
        };
        WorkerSight {
            ordinal,
            state,
            reason: reason.to_owned(),
            zone: looked
                .described
                .get(&ordinal)
                .map_or_else(String::new, |described| described.zone.clone()),
            runs: match worker.ground {
                Ground::Missing | Ground::Stopped => Some(false),
                Ground::Making
                | Ground::Broken
                | Ground::Up
                | Ground::Stopping
                | Ground::Ending => Some(true),
                Ground::Unknown => None,
            },
            agent_version: looked.versions.get(&ordinal).cloned(),
            network: looked
                .networks
                .get(&ordinal)
                .map_or_else(before, |said| said.clone().after(&before())),
        }
    })
    .collect()
}

/// Says what is new of the walls, once it is kept: to the log and the metrics.
pub(super) fn tell_network(of: &Settling, workers: &[WorkerSight]) {
    for now in workers {
        let Some(old) = of.workers.get(&now.ordinal) else {
            continue;
        };
        let (worker, said) = (&old.name, &now.network);
        match said.news(&old.network) {
            Some(NetworkNews::Repaired) => {
                counter!("clarateach_network_repairs_total").increment(1);
                let drift = &said.drift;
                warn!(%worker, drift, "seats' network was changed and is put right");
            }
            Some(NetworkNews::Faulty) => {
                let (drift, fault) = (&said.drift, &said.fault);
                warn!(%worker, drift, fault, "seats' network is changed and not put right");
            }
            None => {}
        }
    }
}
