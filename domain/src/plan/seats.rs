//! The seats of one worker whose agent answers, and the sum over all workers
//! that people read as the workshop's phase.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::{
    EpochReason, Ordinal, PROVISION_DEADLINE, Plan, SeatWant, SeatWish, Step, Want, WorkerSeen,
};
use crate::{
    ids::SeatNo,
    microvm::{MicroVm, MicroVmState},
    workshop::Phase,
};

/// Has a worker that holds another policy, or none yet, hold the wanted one;
/// false if that has to wait.
pub(super) fn hold_egress(
    (ordinal, worker): (Ordinal, &WorkerSeen),
    now: DateTime<Utc>,
    plan: &mut Plan,
    tally: &mut Tally,
) -> bool {
    let tries = &worker.seat_tries.egress;
    if !tries.error.is_empty() && tally.why_open.is_empty() {
        tally.why_open = format!(
            "worker {ordinal} does not hold its egress policy (last try: {})",
            tries.error
        );
    }
    plan.try_agent(Step::SetEgress(ordinal), tries, now)
}

/// Steps for the seats of one worker. Order matters: epochs close the sockets
/// of a reset seat before its machine goes, and no seat starts where the policy
/// is not `held`, or will not be by a step before.
pub(super) fn settle_seats(
    (ordinal, worker): (Ordinal, &WorkerSeen),
    seats: &[&SeatWant],
    (run, held): (&[MicroVm], bool),
    now: DateTime<Utc>,
    plan: &mut Plan,
    tally: &mut Tally,
) {
    let (mut epochs, mut create, mut delete) = (vec![], vec![], vec![]);
    for want in seats {
        let mv = run.iter().find(|mv| mv.seat == want.seat);
        if mv.is_some_and(|mv| mv.epoch < want.epoch) {
            epochs.push((want.seat, want.epoch, reason_of(want.wish)));
        }
        match (want.wish, mv) {
            (SeatWish::Removed, None) => plan.steps.push(Step::ForgetSeat(want.seat)),
            (SeatWish::Removed, Some(mv)) => {
                if mv.state != MicroVmState::Stopping {
                    delete.push(want.seat);
                }
            }
            (SeatWish::Kept | SeatWish::Revoked, None) => {
                create.push(want.seat);
                tally.coming += 1;
            }
            (SeatWish::Kept | SeatWish::Revoked, Some(mv)) if mv.incarnation < want.incarnation => {
                create.push(want.seat);
                tally.replaced.push(want.seat);
            }
            (SeatWish::Kept | SeatWish::Revoked, Some(mv)) => {
                tally.count(mv);
                // Failed too: it is fresh all the same, whoever holds the seat
                // can have it reset, and joiners get it last.
                let made = matches!(mv.state, MicroVmState::Ready | MicroVmState::Failed);
                if want.wish == SeatWish::Revoked && made {
                    plan.steps.push(Step::FreeSeat(want.seat));
                }
            }
        }
    }
    let unknown = |mv: &&MicroVm| !seats.iter().any(|want| want.seat == mv.seat);
    let orphans = run
        .iter()
        .filter(unknown)
        .filter(|mv| mv.state != MicroVmState::Stopping);
    delete.extend(orphans.map(|mv| mv.seat));
    if !held {
        create.clear();
    }
    let tries = &worker.seat_tries;
    if !epochs.is_empty() {
        let behind: Vec<_> = epochs.iter().map(|(seat, ..)| *seat).collect();
        if !plan.try_agent(Step::SetEpochs(ordinal, epochs), &tries.epochs, now) {
            create.retain(|seat| !behind.contains(seat));
            delete.retain(|seat| !behind.contains(seat));
        }
    }
    if !delete.is_empty() {
        plan.try_agent(Step::DeleteSeats(ordinal, delete), &tries.delete, now);
    }
    if !create.is_empty() {
        plan.try_agent(Step::CreateSeats(ordinal, create), &tries.create, now);
    }
}

/// How soon to look again at a worker that is on its way: nothing wakes the loop
/// when an agent starts. Often while one on this box should, then once a second, which
/// twenty VMs at once may do under a cloud's quota of reads (Google's is 1,500 a minute),
/// and rarely when it is late.
fn boot_poll(since: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    let age = now - since;
    if age < TimeDelta::seconds(3) {
        Duration::from_millis(200)
    } else if age < TimeDelta::minutes(3) {
        Duration::from_secs(1)
    } else {
        Duration::from_secs(5)
    }
}

fn reason_of(wish: SeatWish) -> EpochReason {
    match wish {
        SeatWish::Kept => EpochReason::Reset,
        SeatWish::Revoked | SeatWish::Removed => EpochReason::Revoked,
    }
}

/// What is ready and what is not, over all workers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    ready: usize,
    coming: usize,
    /// Replaced on somebody's request: not a fault.
    replaced: Vec<SeatNo>,
    down: usize,
    /// Of those down, the ones their agent has given up.
    given_up: usize,
    why_down: String,
    /// Seats whose worker does not answer.
    homeless: usize,
    booting: bool,
    why_homeless: String,
    /// Of those, the ones whose worker somebody stopped at its cloud.
    held: usize,
    /// Why a worker does not hold the policy, if one was told in vain.
    why_open: String,
    /// Why a worker can never be had as things stand.
    why_hopeless: String,
}

impl Tally {
    fn count(&mut self, mv: &MicroVm) {
        match mv.state {
            MicroVmState::Ready => self.ready += 1,
            MicroVmState::Queued | MicroVmState::Booting | MicroVmState::Stopping => {
                // A later life is a reset under way.
                if mv.incarnation > 1 && mv.restarts == 0 {
                    self.replaced.push(mv.seat);
                } else {
                    self.coming += 1;
                }
            }
            MicroVmState::Restarting | MicroVmState::Failed => {
                self.down += 1;
                self.given_up += usize::from(mv.state == MicroVmState::Failed);
                if self.why_down.is_empty() {
                    self.why_down = format!("seat {}: {}", mv.seat, mv.reason);
                }
            }
        }
    }

    /// Seats without a worker that answers; `booting` if one is on its way and
    /// needs no step.
    pub(super) fn no_worker(&mut self, seats: &[&SeatWant], booting: bool, why: String) {
        self.booting |= booting;
        self.homeless += seats.iter().filter(|s| s.wish != SeatWish::Removed).count();
        if self.why_homeless.is_empty() {
            self.why_homeless = why;
        }
    }

    /// Seats whose worker somebody stopped at its cloud: they wait until the workshop is
    /// started.
    pub(super) fn held(&mut self, seats: &[&SeatWant], worker: &str) {
        let why = format!(
            "{worker} was stopped by hand at its cloud and stays stopped; starting the workshop \
             brings it back with its files"
        );
        let before = self.homeless;
        self.no_worker(seats, false, why);
        self.held += self.homeless - before;
    }

    /// A worker cannot be had until somebody acts.
    pub(super) fn hopeless(&mut self, why: String) {
        if self.why_hopeless.is_empty() {
            self.why_hopeless = why;
        }
    }

    /// The phase and its reason.
    pub(super) fn conclude(&self, want: &Want, now: DateTime<Utc>, plan: &mut Plan) {
        let total = self.ready + self.coming + self.replaced.len() + self.down + self.homeless;
        let progress = self.progress(total);
        let open = !self.why_open.is_empty();
        let whole = self.homeless + self.coming + self.down == 0 && !open;
        let fault = self.homeless + self.down > 0 || open;
        let settled = self.homeless + self.coming == 0;
        let deadline = want.since + PROVISION_DEADLINE;
        if self.booting {
            plan.look_again(Some(now + boot_poll(want.since, now)), now);
        }
        let phase = match (want.ran, want.phase) {
            _ if whole && (want.ran || self.ready > 0) => Phase::Running,
            _ if self.held > 0 && self.held == total => Phase::Stopped,
            // Some seats came up and the others will not by themselves.
            (false, _) if settled && self.ready > 0 => Phase::Degraded,
            // Whoever waits is told at once; one that ran is tried for, and says why.
            (false, _) if !self.why_hopeless.is_empty() && self.ready == 0 => {
                plan.steps.clear();
                plan.say(Phase::Failed, self.why_hopeless.clone());
                return;
            }
            (false, _) if self.given_up == total && total > 0 => {
                let why = format!("no seat could be started: {}", self.why_down);
                plan.say(Phase::Failed, why);
                return;
            }
            (false, _) if self.ready == 0 && now >= deadline => {
                plan.say(
                    Phase::Failed,
                    format!("no seat was ready in time: {progress}"),
                );
                return;
            }
            // Somebody holds the others back: there is nothing to wait for.
            (false, _)
                if self.held > 0
                    && self.ready > 0
                    && self.coming == 0
                    && self.homeless == self.held =>
            {
                Phase::Degraded
            }
            (false, _) => {
                if now < deadline {
                    plan.look_again(Some(deadline), now);
                }
                Phase::Provisioning
            }
            // New seats are no fault, lost ones are until all are back.
            (true, Phase::Running | Phase::Provisioning) if !fault => Phase::Provisioning,
            (true, Phase::Stopped | Phase::Stopping) => Phase::Provisioning,
            (true, Phase::Provisioning) if self.ready == 0 => Phase::Provisioning,
            (
                true,
                Phase::Running
                | Phase::Provisioning
                | Phase::Degraded
                | Phase::Deleting
                | Phase::Deleted
                | Phase::Failed,
            ) => Phase::Degraded,
        };
        plan.say(phase, progress);
    }

    fn progress(&self, total: usize) -> String {
        let mut text = match (self.homeless, self.why_homeless.as_str()) {
            (0, _) => format!("{} of {total} seats ready", self.ready),
            (n, why) if n == total => return why.to_owned(),
            (_, why) => format!("{} of {total} seats ready; {why}", self.ready),
        };
        if self.down > 0 {
            text = format!("{text}; {}", self.why_down);
        }
        if !self.why_open.is_empty() {
            text = format!("{text}; {}", self.why_open);
        }
        if let Some(seat) = self.replaced.first() {
            let others = match self.replaced.len() {
                1 => String::new(),
                n => format!(" and {} more", n - 1),
            };
            text = format!("{text}; seat {seat}{others} gets a fresh machine");
        }
        text
    }
}
