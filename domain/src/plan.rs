//! The whole policy: what is wanted and what is seen become steps.
//!
//! Way: rows -> [`Want`], provisioner and agents -> [`Seen`]; [`plan()`] -> steps
//! in order, the phase people read, and when to look again. Creation, repair,
//! preemption, expiry and deletion are one road: nothing here remembers.

use std::{collections::BTreeMap, num::NonZeroU32, time::Duration};

use chrono::{DateTime, Utc};

use crate::{
    egress::Egress,
    ending::Ending,
    ids::{SeatNo, Slot},
    microvm::{MicroVm, MicroVmState},
    workshop::{Desired, Phase},
};

mod seats;
#[cfg(test)]
mod tests;

use seats::{Tally, hold_egress, settle_seats};

/// A workshop that has no ready seat so long after it was asked for has failed.
pub const PROVISION_DEADLINE: Duration = Duration::from_mins(10);
/// How long seats may take to end before their worker is removed with them.
pub const SEATS_DEADLINE: Duration = Duration::from_secs(20);
/// A worker whose agent has not answered so long after it was asked for is given up:
/// two minutes, and one for a cloud to make its VM.
pub const AGENT_DEADLINE: Duration = Duration::from_mins(3);
/// Learners are told so many minutes before the end.
pub const NOTICES: [u32; 3] = [30, 10, 1];
/// The longest wait between two tries.
pub const MAX_RETRY: Duration = Duration::from_mins(1);
/// The longest wait between two tries at what is asked of an agent: short, since it is the
/// workshop's own, learners wait for it, and one seat that is refused holds up the others.
pub const MAX_AGENT_RETRY: Duration = Duration::from_secs(5);

/// A workshop's `n`-th worker, from 1.
pub type Ordinal = NonZeroU32;

/// What the rows say.
#[derive(Debug, Clone)]
pub struct Want {
    /// What the owner asked for.
    pub desired: Desired,
    /// The phase last written.
    pub phase: Phase,
    /// The reason last written; kept by a failure.
    pub reason: String,
    /// Whether every seat was ready once: from then on it does not fail, it
    /// degrades and is repaired.
    pub ran: bool,
    /// When the present wish was made: created, started, stopped or deleted.
    pub since: DateTime<Utc>,
    /// When it deletes itself.
    pub expires_at: DateTime<Utc>,
    /// The smallest of [`NOTICES`] that was sent for this end, if any was.
    pub notified: Option<u32>,
    /// What its seats may reach.
    pub egress: Egress,
    /// Every seat that has a row, by number.
    pub seats: Vec<SeatWant>,
}

/// One seat's row.
#[derive(Debug, Clone)]
pub struct SeatWant {
    /// Its number.
    pub seat: SeatNo,
    /// Its worker.
    pub worker: Ordinal,
    /// Its place there.
    pub slot: Slot,
    /// Which life its machine should be in.
    pub incarnation: u64,
    /// From which epoch tokens count.
    pub epoch: u64,
    /// What is being done with it.
    pub wish: SeatWish,
}

/// What is wanted of one seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeatWish {
    /// A machine, for whoever holds it.
    Kept,
    /// A fresh machine, and only then a new holder.
    Revoked,
    /// No machine and no row.
    Removed,
}

/// What is there.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Every worker that has a row or is wanted, by ordinal.
    pub workers: BTreeMap<Ordinal, WorkerSeen>,
}

/// One worker.
#[derive(Debug, Clone)]
pub struct WorkerSeen {
    /// What the provisioner says.
    pub ground: Ground,
    /// What its agent says.
    pub agent: AgentSeen,
    /// Why its machine is down, where its cloud says so.
    pub ending: Option<Ending>,
    /// Tries at the verb that is due next, since it last succeeded.
    pub tries: Tries,
    /// Tries at its seats.
    pub seat_tries: SeatTries,
}

impl WorkerSeen {
    /// Whether somebody stopped its machine at its cloud since it was last wished up: then
    /// it stays so. That was somebody's will, and a class that starts its machines against
    /// it for ever costs for ever.
    pub fn held(&self, since: DateTime<Utc>) -> bool {
        self.ground == Ground::Stopped
            && matches!(self.ending, Some(Ending::StoppedByHand(at)) if at > since)
    }
}

/// Tries without success at the seats of one worker, by what was asked of its
/// agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeatTries {
    /// To hold it to epochs.
    pub epochs: Tries,
    /// To hold it to the workshop's egress policy.
    pub egress: Tries,
    /// To have it start seats.
    pub create: Tries,
    /// To have it end seats.
    pub delete: Tries,
}

/// Tries without success, so that the next comes later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tries {
    /// How many.
    pub count: u32,
    /// When the last began.
    pub last: Option<DateTime<Utc>>,
    /// Why it failed, for people; empty if it did not say.
    pub error: String,
    /// Whether the last said that another cannot help until somebody acts.
    pub permanent: bool,
}

/// A worker's machine, as its provisioner sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// Nothing of it exists.
    Missing,
    /// Being made or started.
    Making,
    /// There, but not whole: making it again repairs it.
    Broken,
    /// There.
    Up,
    /// Being stopped.
    Stopping,
    /// Stopped, with its disk.
    Stopped,
    /// Being removed.
    Ending,
    /// The provisioner could not be asked.
    Unknown,
}

/// A worker's agent.
#[derive(Debug, Clone)]
pub enum AgentSeen {
    /// Does not answer.
    Silent,
    /// Wants a certificate: it has none, or one for another key or address.
    Asking,
    /// Answers.
    Answers {
        /// What it runs.
        seats: Vec<MicroVm>,
        /// Whether its certificate is past half its life.
        renew: bool,
        /// The policy it holds its seats to; `None` if it was never told, and
        /// then it lets nothing out.
        egress: Option<Egress>,
    },
}

/// Why a seat's epoch moved; becomes the close code learners see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochReason {
    /// A fresh machine for the same learner.
    Reset,
    /// The seat was taken from its learner.
    Revoked,
}

/// One thing to do. Each is harmless when repeated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The workshop's time is over: want it gone.
    Expire,
    /// Tell learners that so many whole minutes are left; `mark` is the one of
    /// [`NOTICES`] that is done with it.
    Notify {
        /// One of [`NOTICES`].
        mark: u32,
        /// Minutes left, rounded up.
        minutes: u32,
    },
    /// Make the worker, or repair it.
    CreateWorker(Ordinal),
    /// Start the stopped worker.
    StartWorker(Ordinal),
    /// Stop the worker and keep its disk.
    StopWorker(Ordinal),
    /// Sign the agent's request for the address it has now.
    Enrol(Ordinal),
    /// Give the agent a new certificate.
    RenewCertificate(Ordinal),
    /// Hold the agent to these epochs.
    SetEpochs(Ordinal, Vec<(SeatNo, u64, EpochReason)>),
    /// Hold the agent to the workshop's egress policy.
    SetEgress(Ordinal),
    /// Have the agent start these, all at once.
    CreateSeats(Ordinal, Vec<SeatNo>),
    /// Have the agent end these.
    DeleteSeats(Ordinal, Vec<SeatNo>),
    /// The revoked seat is fresh: anyone may have it.
    FreeSeat(SeatNo),
    /// The removed seat is gone: its row goes too.
    ForgetSeat(SeatNo),
    /// Remove the worker and all that is on it.
    DeleteWorker(Ordinal),
    /// The worker is gone: close its row and its run interval.
    ForgetWorker(Ordinal),
}

/// What to do, what to tell people, and when to look again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In order.
    pub steps: Vec<Step>,
    /// Where the workshop is.
    pub phase: Phase,
    /// Why, and what happens next, for people.
    pub reason: String,
    /// Look again by then even if nothing wakes.
    pub again: Option<DateTime<Utc>>,
}

/// Where a seat goes: workers fill in order. `per_worker` above
/// [`Slot::MAX`] counts as that.
pub fn place(seat: SeatNo, per_worker: NonZeroU32) -> (Ordinal, Slot) {
    let per_worker = per_worker.get().min(Slot::MAX.into());
    let (worker, slot) = ((seat.get() - 1) / per_worker, (seat.get() - 1) % per_worker);
    let slot = Slot::try_from(slot + 1).unwrap_or_else(|_| unreachable!("within one worker"));
    (Ordinal::MIN.saturating_add(worker), slot)
}

/// The wait after the `count`-th try without success: 1, 2, 4 … seconds, at
/// most [`MAX_RETRY`].
pub fn retry_delay(count: u32) -> Duration {
    match count {
        0 => Duration::ZERO,
        n => Duration::from_secs(1 << (n - 1).min(6)).min(MAX_RETRY),
    }
}

impl Tries {
    /// When the next try may begin; `None` for at once.
    pub fn due(&self) -> Option<DateTime<Utc>> {
        self.last.map(|last| last + retry_delay(self.count))
    }

    /// The same for what is asked of an agent, which waits [`MAX_AGENT_RETRY`] at most.
    fn due_for_agent(&self) -> Option<DateTime<Utc>> {
        let delay = retry_delay(self.count).min(MAX_AGENT_RETRY);
        self.last.map(|last| last + delay)
    }
}

/// What follows from what is wanted and what is seen, at `now`.
pub fn plan(want: &Want, seen: &Seen, now: DateTime<Utc>) -> Plan {
    let mut plan = Plan {
        steps: Vec::new(),
        phase: want.phase,
        reason: want.reason.clone(),
        again: None,
    };
    let over = now >= want.expires_at;
    match (want.desired, want.phase) {
        (_, Phase::Deleted) => {}
        (Desired::Absent, _) => remove(want, seen, now, &mut plan),
        (Desired::Present | Desired::Stopped, _) if over => plan.steps.push(Step::Expire),
        (Desired::Present, Phase::Failed) => {
            // What failed costs nothing more; its reason stays to be read.
            let nothing_left = end_workers(want, seen, now, &mut plan);
            plan.look_again(Some(want.expires_at), now);
            if !nothing_left {
                plan.look_again(Some(now + Duration::from_secs(5)), now);
            }
        }
        (Desired::Present, _) => keep(want, seen, now, &mut plan),
        (Desired::Stopped, _) => stop(want, seen, now, &mut plan),
    }
    plan
}

impl Plan {
    /// Makes sure to look again by `when`; a time that has passed means soon.
    fn look_again(&mut self, when: Option<DateTime<Utc>>, now: DateTime<Utc>) {
        if let Some(when) = when {
            let when = when.max(now);
            self.again = Some(self.again.map_or(when, |earlier| earlier.min(when)));
        }
    }

    /// Does `step` now if its back-off is over, or looks again when it is.
    fn try_step(&mut self, step: Step, tries: &Tries, now: DateTime<Utc>) {
        match tries.due() {
            Some(due) if due > now => self.look_again(Some(due), now),
            Some(_) | None => self.steps.push(step),
        }
    }

    /// The same for what is asked of an agent; false if it has to wait.
    fn try_agent(&mut self, step: Step, tries: &Tries, now: DateTime<Utc>) -> bool {
        let due = tries.due_for_agent().filter(|due| *due > now);
        if due.is_some() {
            self.look_again(due, now);
        } else {
            self.steps.push(step);
        }
        due.is_none()
    }

    fn say(&mut self, phase: Phase, reason: impl Into<String>) {
        self.phase = phase;
        self.reason = reason.into();
    }
}

/// Desired: present.
fn keep(want: &Want, seen: &Seen, now: DateTime<Utc>, plan: &mut Plan) {
    notices(want, now, plan);
    let mut tally = Tally::default();
    for (&ordinal, worker) in &seen.workers {
        let seats: Vec<_> = want.seats.iter().filter(|s| s.worker == ordinal).collect();
        let needed = seats.iter().any(|s| s.wish != SeatWish::Removed);
        if needed {
            let worker = (ordinal, worker);
            settle_worker(worker, &seats, want, now, plan, &mut tally);
        } else {
            end_worker(ordinal, worker, want.since, now, plan);
            let gone = worker.ground == Ground::Missing;
            plan.steps.extend(
                seats
                    .iter()
                    .filter(|_| gone)
                    .map(|s| Step::ForgetSeat(s.seat)),
            );
        }
    }
    tally.conclude(want, now, plan);
}

/// One worker that is needed.
fn settle_worker(
    (ordinal, worker): (Ordinal, &WorkerSeen),
    seats: &[&SeatWant],
    want: &Want,
    now: DateTime<Utc>,
    plan: &mut Plan,
    tally: &mut Tally,
) {
    let name = || format!("worker {ordinal}");
    let (waits, since_tries) = match (worker.ground, &worker.agent) {
        (Ground::Missing, _) => {
            plan.try_step(Step::CreateWorker(ordinal), &worker.tries, now);
            let anew = match worker.ending {
                Some(Ending::DeletedByHand) => " anew, since its machine was deleted by hand",
                Some(Ending::Preempted | Ending::StoppedByHand(_)) | None => "",
            };
            (format!("creating {}{anew}", name()), true)
        }
        (Ground::Stopped, _) if worker.held(want.since) => {
            tally.held(seats, &name());
            return;
        }
        (Ground::Broken, _) => {
            plan.try_step(Step::CreateWorker(ordinal), &worker.tries, now);
            (format!("repairing {}", name()), true)
        }
        (Ground::Stopped, _) => {
            plan.try_step(Step::StartWorker(ordinal), &worker.tries, now);
            (format!("starting {}", name()), true)
        }
        (Ground::Up, AgentSeen::Asking) => {
            plan.try_agent(Step::Enrol(ordinal), &worker.tries, now);
            (format!("enrolling {}", name()), true)
        }
        (
            Ground::Up | Ground::Unknown,
            AgentSeen::Answers {
                seats: run,
                renew,
                egress,
            },
        ) => {
            if *renew {
                plan.try_agent(Step::RenewCertificate(ordinal), &worker.tries, now);
            }
            let it = (ordinal, worker);
            let held = egress.as_ref() == Some(&want.egress) || hold_egress(it, now, plan, tally);
            settle_seats(it, seats, (run, held), now, plan, tally);
            return;
        }
        (Ground::Up | Ground::Making, AgentSeen::Silent) => {
            let deadline = worker.tries.last.map(|asked| asked + AGENT_DEADLINE);
            if deadline.is_some_and(|deadline| deadline <= now) {
                let minutes = AGENT_DEADLINE.as_secs() / 60;
                tally.hopeless(format!(
                    "the agent of {} did not answer within {minutes} minutes",
                    name()
                ));
            }
            plan.look_again(deadline, now);
            (format!("booting {}", name()), false)
        }
        (Ground::Making, AgentSeen::Asking | AgentSeen::Answers { .. }) => {
            (format!("booting {}", name()), false)
        }
        (Ground::Stopping, _) => (format!("waiting for {} to stop first", name()), false),
        (Ground::Ending, _) => (format!("waiting for {} to be gone first", name()), false),
        (Ground::Unknown, AgentSeen::Silent | AgentSeen::Asking) => {
            (format!("asking after {}", name()), false)
        }
    };
    if since_tries && worker.tries.permanent && !worker.tries.error.is_empty() {
        tally.hopeless(format!("{waits} cannot succeed: {}", worker.tries.error));
    }
    let why = match worker.tries.error.as_str() {
        error if since_tries && !error.is_empty() => format!("{waits} (last try: {error})"),
        _ => waits,
    };
    tally.no_worker(seats, !since_tries, why);
}

/// Desired: stopped. Seats are not deleted: their disks stay.
fn stop(want: &Want, seen: &Seen, now: DateTime<Utc>, plan: &mut Plan) {
    let patience = want.since + SEATS_DEADLINE;
    let mut waiting = 0;
    for (&ordinal, worker) in &seen.workers {
        match worker.ground {
            Ground::Missing | Ground::Stopped => {}
            // Its guests must write what they hold first, and only its agent can ask them.
            Ground::Up if matches!(worker.agent, AgentSeen::Silent) && now < patience => {
                waiting += 1;
                plan.look_again(Some(patience), now);
            }
            Ground::Up | Ground::Broken | Ground::Making => {
                waiting += 1;
                plan.try_step(Step::StopWorker(ordinal), &worker.tries, now);
            }
            Ground::Stopping | Ground::Ending | Ground::Unknown => waiting += 1,
        }
    }
    plan.look_again(Some(want.expires_at), now);
    if waiting == 0 {
        plan.say(
            Phase::Stopped,
            "stopped; starting it brings seats and files back",
        );
    } else {
        plan.say(
            Phase::Stopping,
            format!("waiting for {waiting} workers to stop"),
        );
        plan.look_again(Some(now + Duration::from_secs(5)), now);
    }
}

/// Desired: absent. Seats first, then workers, then the rows say so.
fn remove(want: &Want, seen: &Seen, now: DateTime<Utc>, plan: &mut Plan) {
    if end_workers(want, seen, now, plan) {
        plan.say(Phase::Deleted, "deleted; nothing of it runs");
    } else {
        let left = seen.workers.len();
        plan.say(
            Phase::Deleting,
            format!(
                "removing {left} {}",
                if left == 1 { "worker" } else { "workers" }
            ),
        );
        plan.look_again(Some(now + Duration::from_secs(5)), now);
    }
}

/// Ends every worker; true when none is left.
fn end_workers(want: &Want, seen: &Seen, now: DateTime<Utc>, plan: &mut Plan) -> bool {
    for (&ordinal, worker) in &seen.workers {
        end_worker(ordinal, worker, want.since, now, plan);
    }
    seen.workers.is_empty()
}

/// Asks seats to end in order while there is time, then removes the worker
/// with whatever is on it. An agent that does not answer gets no time.
fn end_worker(
    ordinal: Ordinal,
    worker: &WorkerSeen,
    since: DateTime<Utc>,
    now: DateTime<Utc>,
    plan: &mut Plan,
) {
    let deadline = since + SEATS_DEADLINE;
    match (worker.ground, &worker.agent) {
        (Ground::Missing, _) => plan.steps.push(Step::ForgetWorker(ordinal)),
        (Ground::Ending, _) => plan.look_again(Some(now + Duration::from_secs(2)), now),
        (Ground::Up, AgentSeen::Answers { seats, .. }) if !seats.is_empty() && now < deadline => {
            let ask: Vec<_> = seats
                .iter()
                .filter(|mv| mv.state != MicroVmState::Stopping)
                .map(|mv| mv.seat)
                .collect();
            if !ask.is_empty() {
                let ask = Step::DeleteSeats(ordinal, ask);
                plan.try_agent(ask, &worker.seat_tries.delete, now);
            }
            plan.look_again(Some(deadline), now);
        }
        (
            Ground::Making
            | Ground::Broken
            | Ground::Up
            | Ground::Stopping
            | Ground::Stopped
            | Ground::Unknown,
            _,
        ) => plan.try_step(Step::DeleteWorker(ordinal), &worker.tries, now),
    }
}

/// The notice that is due, if any; the larger ones are covered by it.
fn notices(want: &Want, now: DateTime<Utc>, plan: &mut Plan) {
    let left = (want.expires_at - now).to_std().unwrap_or_default();
    let told = want.notified.unwrap_or(u32::MAX);
    let due = |mark: u32| left <= Duration::from_secs(u64::from(mark) * 60);
    let next = NOTICES
        .iter()
        .copied()
        .filter(|&mark| mark < told && due(mark))
        .min();
    if let Some(mark) = next {
        let minutes = u32::try_from(left.as_secs().div_ceil(60)).unwrap_or(mark);
        plan.steps.push(Step::Notify { mark, minutes });
    }
    let coming = NOTICES
        .iter()
        .copied()
        .find(|&mark| mark < told && !due(mark));
    let at = |mark: u32| want.expires_at - Duration::from_secs(u64::from(mark) * 60);
    plan.look_again(Some(coming.map_or(want.expires_at, at)), now);
}
