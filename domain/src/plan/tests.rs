//! The policy as tables: one wish, one sight, the steps that follow.

use chrono::TimeDelta;

use super::*;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap()
}

fn ord(n: u32) -> Ordinal {
    Ordinal::new(n).unwrap()
}

fn seat(n: u32) -> SeatNo {
    SeatNo::try_from(n).unwrap()
}

fn want(desired: Desired, phase: Phase, seats: u32) -> Want {
    Want {
        desired,
        phase,
        reason: "as it was".into(),
        ran: !matches!(phase, Phase::Provisioning | Phase::Failed),
        since: at(0),
        expires_at: at(36_000),
        notified: None,
        egress: Egress::Internet,
        seats: (1..=seats).map(|n| row(n, 1, 1, SeatWish::Kept)).collect(),
    }
}

fn row(n: u32, incarnation: u64, epoch: u64, wish: SeatWish) -> SeatWant {
    let (worker, slot) = place(seat(n), ord(2));
    SeatWant {
        seat: seat(n),
        worker,
        slot,
        incarnation,
        epoch,
        wish,
    }
}

fn mv(n: u32, incarnation: u64, epoch: u64, state: MicroVmState) -> MicroVm {
    MicroVm {
        seat: seat(n),
        slot: place(seat(n), ord(2)).1,
        incarnation,
        state,
        reason: "it said so".into(),
        restarts: 0,
        epoch,
        ready_at: None,
        last_input_at: None,
        terminals: 0,
        queue_position: 0,
    }
}

fn ready(n: u32) -> MicroVm {
    mv(n, 1, 1, MicroVmState::Ready)
}

fn answers(seats: Vec<MicroVm>) -> AgentSeen {
    AgentSeen::Answers {
        seats,
        renew: false,
        egress: Some(Egress::Internet),
    }
}

fn worker(ground: Ground, agent: AgentSeen) -> WorkerSeen {
    WorkerSeen {
        ground,
        agent,
        ending: None,
        tries: Tries::default(),
        seat_tries: SeatTries::default(),
    }
}

fn seen(workers: impl IntoIterator<Item = WorkerSeen>) -> Seen {
    let numbered = (1..).map(ord).zip(workers).collect();
    Seen { workers: numbered }
}

fn missing() -> WorkerSeen {
    worker(Ground::Missing, AgentSeen::Silent)
}

#[test]
fn seats_fill_workers_in_order() {
    for (n, per_worker, want) in [
        (1, 50, (1, 1)),
        (50, 50, (1, 50)),
        (51, 50, (2, 1)),
        (500, 50, (10, 50)),
        (3, 1, (3, 1)),
        (201, 1000, (2, 1)),
        (u32::MAX, 1, (u32::MAX, 1)),
    ] {
        let (worker, slot) = place(seat(n), ord(per_worker));
        assert_eq!((worker.get(), u32::from(slot)), want, "seat {n}");
    }
}

#[test]
fn retries_come_later_and_later_up_to_a_minute() {
    let waits: Vec<_> = (0..9).map(|n| retry_delay(n).as_secs()).collect();
    assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60]);
    assert_eq!(retry_delay(u32::MAX).as_secs(), 60);
}

#[test]
fn a_workshop_is_made_in_rounds() {
    use MicroVmState::{Booting, Ready};
    let up = |agent| seen([worker(Ground::Up, agent)]);
    for (sight, steps, phase, reason) in [
        (
            seen([missing()]),
            vec![Step::CreateWorker(ord(1))],
            Phase::Provisioning,
            "creating worker 1",
        ),
        (
            seen([worker(Ground::Making, AgentSeen::Silent)]),
            vec![],
            Phase::Provisioning,
            "booting worker 1",
        ),
        (
            up(AgentSeen::Silent),
            vec![],
            Phase::Provisioning,
            "booting worker 1",
        ),
        (
            up(AgentSeen::Asking),
            vec![Step::Enrol(ord(1))],
            Phase::Provisioning,
            "enrolling worker 1",
        ),
        (
            up(answers(vec![])),
            vec![Step::CreateSeats(ord(1), vec![seat(1), seat(2)])],
            Phase::Provisioning,
            "0 of 2 seats ready",
        ),
        (
            up(answers(vec![mv(1, 1, 1, Ready), mv(2, 1, 1, Booting)])),
            vec![],
            Phase::Provisioning,
            "1 of 2 seats ready",
        ),
        (
            up(answers(vec![ready(1), ready(2)])),
            vec![],
            Phase::Running,
            "2 of 2 seats ready",
        ),
    ] {
        let plan = plan(
            &want(Desired::Present, Phase::Provisioning, 2),
            &sight,
            at(1),
        );
        assert_eq!(plan.steps, steps, "{sight:?}");
        assert_eq!(
            (plan.phase, plan.reason.as_str()),
            (phase, reason),
            "{sight:?}"
        );
    }
}

#[test]
fn a_running_workshop_is_repaired() {
    use MicroVmState::{Booting, Failed, Ready, Restarting};
    let up = |agent| seen([worker(Ground::Up, agent)]);
    for (sight, steps, phase) in [
        (
            seen([missing()]),
            vec![Step::CreateWorker(ord(1))],
            Phase::Degraded,
        ),
        (
            seen([worker(Ground::Broken, AgentSeen::Silent)]),
            vec![Step::CreateWorker(ord(1))],
            Phase::Degraded,
        ),
        (
            seen([worker(Ground::Stopped, AgentSeen::Silent)]),
            vec![Step::StartWorker(ord(1))],
            Phase::Degraded,
        ),
        // A frozen agent still has its seats: nothing is started beside it.
        (up(AgentSeen::Silent), vec![], Phase::Degraded),
        (
            seen([worker(Ground::Unknown, AgentSeen::Silent)]),
            vec![],
            Phase::Degraded,
        ),
        // The provisioner's outage is no fault of seats that answer.
        (
            seen([worker(Ground::Unknown, answers(vec![ready(1), ready(2)]))]),
            vec![],
            Phase::Running,
        ),
        (
            up(answers(vec![ready(1), mv(2, 1, 1, Restarting)])),
            vec![],
            Phase::Degraded,
        ),
        (
            up(answers(vec![ready(1), mv(2, 1, 1, Failed)])),
            vec![],
            Phase::Degraded,
        ),
        // A machine whose disk is on the worker and which is gone is made again.
        (
            up(answers(vec![ready(1)])),
            vec![Step::CreateSeats(ord(1), vec![seat(2)])],
            Phase::Provisioning,
        ),
        (
            up(answers(vec![ready(1), mv(2, 1, 1, Booting)])),
            vec![],
            Phase::Provisioning,
        ),
        // Not ours: the rows are right.
        (
            up(answers(vec![ready(1), ready(2), ready(9)])),
            vec![Step::DeleteSeats(ord(1), vec![seat(9)])],
            Phase::Running,
        ),
        // An agent that lost its epochs admits nobody until told.
        (
            up(answers(vec![ready(1), mv(2, 1, 0, Ready)])),
            vec![Step::SetEpochs(
                ord(1),
                vec![(seat(2), 1, EpochReason::Reset)],
            )],
            Phase::Running,
        ),
        (
            up(AgentSeen::Answers {
                seats: vec![ready(1), ready(2)],
                renew: true,
                egress: Some(Egress::Internet),
            }),
            vec![Step::RenewCertificate(ord(1))],
            Phase::Running,
        ),
    ] {
        let plan = plan(&want(Desired::Present, Phase::Running, 2), &sight, at(1));
        assert_eq!(plan.steps, steps, "{sight:?}");
        assert_eq!(plan.phase, phase, "{sight:?}: {}", plan.reason);
    }
}

#[test]
fn a_degraded_workshop_stays_so_until_every_seat_is_back() {
    let mut wish = want(Desired::Present, Phase::Degraded, 2);
    wish.ran = true;
    let booting = answers(vec![ready(1), mv(2, 1, 1, MicroVmState::Booting)]);
    let sight = seen([worker(Ground::Up, booting)]);
    assert_eq!(plan(&wish, &sight, at(1)).phase, Phase::Degraded);
    let back = seen([worker(Ground::Up, answers(vec![ready(1), ready(2)]))]);
    assert_eq!(plan(&wish, &back, at(1)).phase, Phase::Running);
}

#[test]
fn seats_are_reset_revoked_and_removed() {
    use MicroVmState::{Ready, Stopping};
    for (wish, run, steps) in [
        // Reset: sockets close by the epoch, then the machine is replaced.
        (
            row(1, 2, 2, SeatWish::Kept),
            vec![ready(1)],
            vec![
                Step::SetEpochs(ord(1), vec![(seat(1), 2, EpochReason::Reset)]),
                Step::CreateSeats(ord(1), vec![seat(1)]),
            ],
        ),
        (
            row(1, 2, 2, SeatWish::Kept),
            vec![mv(1, 2, 2, Ready)],
            vec![],
        ),
        // Revoke: free only when the fresh machine answers.
        (
            row(1, 2, 2, SeatWish::Revoked),
            vec![ready(1)],
            vec![
                Step::SetEpochs(ord(1), vec![(seat(1), 2, EpochReason::Revoked)]),
                Step::CreateSeats(ord(1), vec![seat(1)]),
            ],
        ),
        (
            row(1, 2, 2, SeatWish::Revoked),
            vec![mv(1, 2, 2, MicroVmState::Booting)],
            vec![],
        ),
        (
            row(1, 2, 2, SeatWish::Revoked),
            vec![mv(1, 2, 2, Ready)],
            vec![Step::FreeSeat(seat(1))],
        ),
        // Seats down, evicted or free: the machine first, then the row.
        (
            row(1, 1, 2, SeatWish::Removed),
            vec![ready(1)],
            vec![
                Step::SetEpochs(ord(1), vec![(seat(1), 2, EpochReason::Revoked)]),
                Step::DeleteSeats(ord(1), vec![seat(1)]),
            ],
        ),
        (
            row(1, 1, 1, SeatWish::Removed),
            vec![mv(1, 1, 1, Stopping)],
            vec![],
        ),
        (
            row(1, 1, 1, SeatWish::Removed),
            vec![],
            vec![Step::ForgetSeat(seat(1))],
        ),
    ] {
        let mut wanted = want(Desired::Present, Phase::Running, 2);
        wanted.seats[0] = wish.clone();
        let mut run = run;
        run.push(ready(2));
        let plan = plan(&wanted, &seen([worker(Ground::Up, answers(run))]), at(1));
        assert_eq!(plan.steps, steps, "{wish:?}");
        assert_eq!(
            plan.phase,
            Phase::Running,
            "asked for, so no fault: {wish:?}"
        );
    }
}

#[test]
fn more_seats_than_a_worker_holds_make_another_and_fewer_remove_it() {
    let wanted = want(Desired::Present, Phase::Running, 3);
    let first = || worker(Ground::Up, answers(vec![ready(1), ready(2)]));
    let grown = plan(&wanted, &seen([first(), missing()]), at(1));
    assert_eq!(grown.steps, [Step::CreateWorker(ord(2))]);
    assert!(
        grown
            .reason
            .starts_with("2 of 3 seats ready; creating worker 2")
    );

    let mut fewer = wanted;
    fewer.seats[2].wish = SeatWish::Removed;
    for (second, steps) in [
        (
            worker(Ground::Up, answers(vec![ready(3)])),
            vec![Step::DeleteSeats(ord(2), vec![seat(3)])],
        ),
        (
            worker(Ground::Up, answers(vec![])),
            vec![Step::DeleteWorker(ord(2))],
        ),
        (
            worker(Ground::Up, AgentSeen::Silent),
            vec![Step::DeleteWorker(ord(2))],
        ),
        (
            missing(),
            vec![Step::ForgetWorker(ord(2)), Step::ForgetSeat(seat(3))],
        ),
    ] {
        let plan = plan(&fewer, &seen([first(), second]), at(1));
        assert_eq!(plan.steps, steps);
        assert_eq!(plan.phase, Phase::Running);
    }
}

#[test]
fn deleting_asks_seats_first_and_waits_for_no_agent() {
    use MicroVmState::Stopping;
    let up = |agent| worker(Ground::Up, agent);
    let late = i64::try_from(SEATS_DEADLINE.as_secs()).unwrap();
    for (sight, now, steps, phase) in [
        (
            up(answers(vec![ready(1), ready(2)])),
            1,
            vec![Step::DeleteSeats(ord(1), vec![seat(1), seat(2)])],
            Phase::Deleting,
        ),
        (
            up(answers(vec![mv(1, 1, 1, Stopping)])),
            1,
            vec![],
            Phase::Deleting,
        ),
        (
            up(answers(vec![mv(1, 1, 1, Stopping)])),
            late,
            vec![Step::DeleteWorker(ord(1))],
            Phase::Deleting,
        ),
        (
            up(answers(vec![])),
            1,
            vec![Step::DeleteWorker(ord(1))],
            Phase::Deleting,
        ),
        (
            up(AgentSeen::Silent),
            1,
            vec![Step::DeleteWorker(ord(1))],
            Phase::Deleting,
        ),
        (
            worker(Ground::Making, AgentSeen::Silent),
            1,
            vec![Step::DeleteWorker(ord(1))],
            Phase::Deleting,
        ),
        (
            worker(Ground::Broken, AgentSeen::Silent),
            1,
            vec![Step::DeleteWorker(ord(1))],
            Phase::Deleting,
        ),
        (
            worker(Ground::Ending, AgentSeen::Silent),
            1,
            vec![],
            Phase::Deleting,
        ),
        (
            missing(),
            1,
            vec![Step::ForgetWorker(ord(1))],
            Phase::Deleting,
        ),
    ] {
        let gone = want(Desired::Absent, Phase::Running, 2);
        let plan = plan(&gone, &seen([sight.clone()]), at(now));
        assert_eq!(plan.steps, steps, "{sight:?}");
        assert_eq!(plan.phase, phase, "{sight:?}");
    }
    let gone = want(Desired::Absent, Phase::Deleting, 2);
    assert_eq!(plan(&gone, &Seen::default(), at(1)).phase, Phase::Deleted);
}

#[test]
fn deleted_is_final() {
    for desired in [Desired::Present, Desired::Stopped, Desired::Absent] {
        let gone = want(desired, Phase::Deleted, 2);
        let plan = plan(&gone, &seen([missing()]), at(40_000));
        assert_eq!((plan.steps, plan.phase), (vec![], Phase::Deleted));
    }
}

#[test]
fn stopping_keeps_disks_and_starting_brings_them_back() {
    let late = i64::try_from(SEATS_DEADLINE.as_secs()).unwrap();
    let stop = || vec![Step::StopWorker(ord(1))];
    for (ground, agent, now, steps, phase) in [
        (Ground::Up, answers(vec![]), 1, stop(), Phase::Stopping),
        // Its agent may come back and have the guests write what they hold.
        (Ground::Up, AgentSeen::Silent, 1, vec![], Phase::Stopping),
        (Ground::Up, AgentSeen::Silent, late, stop(), Phase::Stopping),
        (
            Ground::Broken,
            AgentSeen::Silent,
            1,
            stop(),
            Phase::Stopping,
        ),
        (
            Ground::Stopping,
            AgentSeen::Silent,
            1,
            vec![],
            Phase::Stopping,
        ),
        (
            Ground::Stopped,
            AgentSeen::Silent,
            1,
            vec![],
            Phase::Stopped,
        ),
        (
            Ground::Missing,
            AgentSeen::Silent,
            1,
            vec![],
            Phase::Stopped,
        ),
    ] {
        let stop = want(Desired::Stopped, Phase::Running, 1);
        let plan = plan(&stop, &seen([worker(ground, agent)]), at(now));
        assert_eq!(
            (plan.steps, plan.phase),
            (steps, phase),
            "{ground:?} at {now}"
        );
    }
    let start = want(Desired::Present, Phase::Stopped, 1);
    let sight = seen([worker(Ground::Stopped, AgentSeen::Silent)]);
    let started = plan(&start, &sight, at(1));
    assert_eq!(started.steps, [Step::StartWorker(ord(1))]);
    assert_eq!(started.phase, Phase::Provisioning);
}

#[test]
fn a_workshop_that_is_over_ends_and_says_so_before() {
    let steps = |left: i64, notified: Option<u32>| {
        let mut wish = want(Desired::Present, Phase::Running, 1);
        wish.notified = notified;
        let now = wish.expires_at - TimeDelta::seconds(left);
        let plan = plan(
            &wish,
            &seen([worker(Ground::Up, answers(vec![ready(1)]))]),
            now,
        );
        let again = plan
            .again
            .map(|when| (wish.expires_at - when).num_seconds());
        (plan.steps, again)
    };
    let notify = |mark, minutes| vec![Step::Notify { mark, minutes }];
    for (left, notified, want) in [
        (1801, None, (vec![], Some(1800))),
        (1800, None, (notify(30, 30), Some(600))),
        (1800, Some(30), (vec![], Some(600))),
        // A short workshop is told once, and how much is really left.
        (301, None, (notify(10, 6), Some(60))),
        (600, Some(30), (notify(10, 10), Some(60))),
        (59, Some(10), (notify(1, 1), Some(0))),
        (59, Some(1), (vec![], Some(0))),
        (0, Some(1), (vec![Step::Expire], None)),
        (-100, None, (vec![Step::Expire], None)),
    ] {
        assert_eq!(
            steps(left, notified),
            want,
            "{left} s left, told {notified:?}"
        );
    }
}

#[test]
fn what_cannot_be_made_fails_with_its_reason_and_costs_nothing_more() {
    let late = i64::try_from(PROVISION_DEADLINE.as_secs()).unwrap();
    let mut bad = worker(Ground::Up, AgentSeen::Asking);
    bad.tries.error = "the request is not for this worker".into();
    let new = want(Desired::Present, Phase::Provisioning, 1);
    assert_eq!(
        plan(&new, &seen([bad.clone()]), at(late - 1)).phase,
        Phase::Provisioning
    );
    let failed = plan(&new, &seen([bad.clone()]), at(late));
    assert_eq!(failed.phase, Phase::Failed);
    assert!(
        failed.reason.contains("not for this worker"),
        "{}",
        failed.reason
    );

    let mut after = want(Desired::Present, Phase::Failed, 1);
    after.reason.clone_from(&failed.reason);
    let cleaning = plan(&after, &seen([bad]), at(late));
    assert_eq!(cleaning.steps, [Step::DeleteWorker(ord(1))]);
    assert_eq!(
        (cleaning.phase, cleaning.reason),
        (Phase::Failed, failed.reason)
    );
    // Agents give up only after trying often: no need to wait for the deadline.
    let broken = mv(1, 1, 1, MicroVmState::Failed);
    let given_up = seen([worker(Ground::Up, answers(vec![broken.clone()]))]);
    let hopeless = plan(&new, &given_up, at(1));
    assert_eq!(hopeless.phase, Phase::Failed);
    assert_eq!(
        hopeless.reason,
        "no seat could be started: seat 1: it said so"
    );
    let two = want(Desired::Present, Phase::Provisioning, 2);
    let half = seen([worker(Ground::Up, answers(vec![broken, ready(2)]))]);
    assert_eq!(plan(&two, &half, at(1)).phase, Phase::Degraded);
    // One that ran is repaired for as long as it lives.
    let ran = want(Desired::Present, Phase::Degraded, 1);
    assert_eq!(
        plan(&ran, &seen([missing()]), at(late * 2)).phase,
        Phase::Degraded
    );
}

#[test]
fn an_agent_that_asks_waits_five_seconds_at_most_for_the_next_try() {
    let new = want(Desired::Present, Phase::Provisioning, 1);
    let mut asking = worker(Ground::Up, AgentSeen::Asking);
    asking.tries = Tries {
        count: 9,
        last: Some(at(0)),
        ..Tries::default()
    };
    let asking = seen([asking]);
    let early = plan(&new, &asking, at(4));
    assert_eq!((early.steps, early.again), (vec![], Some(at(5))));
    assert_eq!(plan(&new, &asking, at(5)).steps, [Step::Enrol(ord(1))]);
}

#[test]
fn tries_wait_for_their_time_and_the_clock_is_set_for_it() {
    let mut lost = missing();
    lost.tries = Tries {
        count: 3,
        last: Some(at(10)),
        error: "no disk".into(),
        ..Tries::default()
    };
    let wish = want(Desired::Present, Phase::Running, 1);
    let early = plan(&wish, &seen([lost.clone()]), at(13));
    assert_eq!((early.steps, early.again), (vec![], Some(at(14))));
    assert_eq!(early.reason, "creating worker 1 (last try: no disk)");
    let due = plan(&wish, &seen([lost]), at(14));
    assert_eq!(due.steps, [Step::CreateWorker(ord(1))]);
}

#[test]
fn who_waits_for_a_worker_that_cannot_be_had_is_told_at_once() {
    let mut refused = missing();
    refused.tries = Tries {
        count: 1,
        last: Some(at(10)),
        error: "no quota".into(),
        permanent: true,
    };
    let seen = seen([refused]);
    let waits = plan(
        &want(Desired::Present, Phase::Provisioning, 1),
        &seen,
        at(11),
    );
    let why = "creating worker 1 cannot succeed: no quota";
    assert_eq!((waits.phase, waits.reason.as_str()), (Phase::Failed, why));
    // A class that ran is never given up.
    let mut ran = want(Desired::Present, Phase::Running, 1);
    ran.ran = true;
    let tried = plan(&ran, &seen, at(12));
    assert_eq!(tried.phase, Phase::Degraded);
    assert_eq!(tried.steps, [Step::CreateWorker(ord(1))]);
}

#[test]
fn an_agent_that_never_answers_is_waited_for_three_minutes() {
    let mut mute = worker(Ground::Up, AgentSeen::Silent);
    mute.tries = Tries {
        count: 1,
        last: Some(at(10)),
        ..Tries::default()
    };
    let wish = want(Desired::Present, Phase::Provisioning, 1);
    let waits = plan(&wish, &seen([mute.clone()]), at(189));
    assert_eq!(waits.phase, Phase::Provisioning);
    let over = plan(&wish, &seen([mute.clone()]), at(190));
    let why = "the agent of worker 1 did not answer within 3 minutes";
    assert_eq!((over.phase, over.reason.as_str()), (Phase::Failed, why));
    // One that answered before comes back or is repaired, however long that takes.
    let mut ran = want(Desired::Present, Phase::Degraded, 1);
    ran.ran = true;
    assert_eq!(plan(&ran, &seen([mute]), at(190)).phase, Phase::Degraded);
}

#[test]
fn a_revoked_seat_whose_fresh_machine_fails_is_not_lost() {
    let mut wish = want(Desired::Present, Phase::Running, 2);
    wish.seats[0] = row(1, 2, 2, SeatWish::Revoked);
    for (incarnation, state, free) in [
        (2, MicroVmState::Failed, true),
        (2, MicroVmState::Booting, false),
        (2, MicroVmState::Restarting, false),
        // The earlier learner's, still.
        (1, MicroVmState::Failed, false),
    ] {
        let run = vec![mv(1, incarnation, 2, state), ready(2)];
        let plan = plan(&wish, &seen([worker(Ground::Up, answers(run))]), at(1));
        let freed = plan.steps.contains(&Step::FreeSeat(seat(1)));
        assert_eq!(freed, free, "{incarnation} {state:?}");
    }
}

#[test]
fn seats_that_are_refused_are_tried_later_and_hold_up_no_other_verb() {
    let refused = Tries {
        count: 9,
        last: Some(at(10)),
        error: "slot taken".into(),
        ..Tries::default()
    };
    let mut wish = want(Desired::Present, Phase::Running, 2);
    wish.seats[1] = row(2, 1, 1, SeatWish::Removed);
    let mut busy = worker(Ground::Up, answers(vec![ready(2)]));
    busy.seat_tries.create = refused.clone();
    let early = plan(&wish, &seen([busy.clone()]), at(14));
    assert_eq!(early.steps, [Step::DeleteSeats(ord(1), vec![seat(2)])]);
    assert_eq!(early.again, Some(at(15)), "five seconds at most");
    let due = plan(&wish, &seen([busy.clone()]), at(15));
    let create = Step::CreateSeats(ord(1), vec![seat(1)]);
    assert!(due.steps.contains(&create));

    // A seat whose epoch is not in force keeps its machine.
    wish.seats[1] = row(2, 1, 2, SeatWish::Removed);
    busy.seat_tries.epochs = refused;
    let early = plan(&wish, &seen([busy]), at(14));
    assert_eq!(early.steps, []);
}

/// A worker whose agent holds `egress`.
fn holding(egress: Option<Egress>, seats: Vec<MicroVm>) -> WorkerSeen {
    let agent = AgentSeen::Answers {
        seats,
        renew: false,
        egress,
    };
    worker(Ground::Up, agent)
}

#[test]
fn the_policy_stands_before_a_seat_does() {
    let list = |name: &str| Egress::AllowList(vec![name.parse().unwrap()]);
    let set = || Step::SetEgress(ord(1));
    let create = || Step::CreateSeats(ord(1), vec![seat(1), seat(2)]);
    let both = || vec![ready(1), ready(2)];
    for (wanted, held, run, steps) in [
        (
            Egress::Internet,
            Some(Egress::Internet),
            vec![],
            vec![create()],
        ),
        // Never told, or it forgot: told also if the whole internet is open.
        (Egress::Internet, None, vec![], vec![set(), create()]),
        (Egress::None, None, vec![], vec![set(), create()]),
        (
            list("pypi.org"),
            Some(Egress::Internet),
            vec![],
            vec![set(), create()],
        ),
        // Changed while seats run, and only told where it differs.
        (Egress::None, Some(Egress::Internet), both(), vec![set()]),
        (
            list("pypi.org"),
            Some(list("crates.io")),
            both(),
            vec![set()],
        ),
        (list("pypi.org"), Some(list("pypi.org")), both(), vec![]),
        (Egress::None, None, both(), vec![set()]),
    ] {
        let mut wish = want(Desired::Present, Phase::Running, 2);
        wish.egress = wanted;
        let plan = plan(&wish, &seen([holding(held.clone(), run)]), at(1));
        assert_eq!(plan.steps, steps, "{:?} {held:?}", wish.egress);
    }
    let gone = want(Desired::Absent, Phase::Running, 2);
    let plan = plan(&gone, &seen([holding(None, both())]), at(1));
    assert_eq!(
        plan.steps,
        [Step::DeleteSeats(ord(1), vec![seat(1), seat(2)])],
        "what goes is told nothing"
    );
}

#[test]
fn an_agent_that_refuses_the_policy_gets_no_seats_and_people_learn_why() {
    let refused = Tries {
        count: 9,
        last: Some(at(10)),
        error: "it is too old".into(),
        ..Tries::default()
    };
    let why = "worker 1 does not hold its egress policy (last try: it is too old)";
    let mut open = holding(None, vec![]);
    open.seat_tries.egress = refused.clone();
    let new = want(Desired::Present, Phase::Provisioning, 1);
    let early = plan(&new, &seen([open.clone()]), at(14));
    assert_eq!((early.steps, early.again), (vec![], Some(at(15))));
    assert_eq!(early.phase, Phase::Provisioning);
    assert_eq!(early.reason, format!("0 of 1 seats ready; {why}"));
    let due = plan(&new, &seen([open]), at(15));
    let create = Step::CreateSeats(ord(1), vec![seat(1)]);
    assert_eq!(due.steps, [Step::SetEgress(ord(1)), create]);

    // Seats that run go on, may be ended, and the promise that is not kept shows.
    let mut wish = want(Desired::Present, Phase::Running, 2);
    wish.egress = Egress::None;
    wish.seats[1] = row(2, 1, 1, SeatWish::Removed);
    let mut open = holding(Some(Egress::Internet), vec![ready(1), ready(2)]);
    open.seat_tries.egress = refused;
    let early = plan(&wish, &seen([open]), at(14));
    assert_eq!(early.steps, [Step::DeleteSeats(ord(1), vec![seat(2)])]);
    assert_eq!(early.phase, Phase::Degraded);
    assert_eq!(early.reason, format!("1 of 1 seats ready; {why}"));

    // Told and not yet confirmed is no fault.
    wish.seats.truncate(1);
    let mut told = holding(Some(Egress::Internet), vec![ready(1)]);
    told.seat_tries.egress = Tries {
        count: 1,
        last: Some(at(10)),
        error: String::new(),
        ..Tries::default()
    };
    let waits = plan(&wish, &seen([told]), at(10));
    assert_eq!((waits.steps, waits.phase), (vec![], Phase::Running));
    assert_eq!(waits.again, Some(at(11)));
}

#[test]
fn what_somebody_stopped_stays_so_until_the_workshop_is_started() {
    let stopped = |ending| WorkerSeen {
        ending,
        ..worker(Ground::Stopped, AgentSeen::Silent)
    };
    let start = || vec![Step::StartWorker(ord(1))];
    let hand = |seconds| Some(Ending::StoppedByHand(at(seconds)));
    for (ending, phase, steps, becomes) in [
        (None, Phase::Running, start(), Phase::Degraded),
        (
            Some(Ending::Preempted),
            Phase::Running,
            start(),
            Phase::Degraded,
        ),
        // Since the wish, which is of second 0.
        (hand(5), Phase::Running, vec![], Phase::Stopped),
        (hand(5), Phase::Stopped, vec![], Phase::Stopped),
        (hand(5), Phase::Provisioning, vec![], Phase::Stopped),
        // Before it: the workshop was started again.
        (hand(-5), Phase::Stopped, start(), Phase::Provisioning),
    ] {
        let wish = want(Desired::Present, phase, 2);
        let done = plan(&wish, &seen([stopped(ending)]), at(10));
        assert_eq!(
            (done.steps, done.phase),
            (steps, becomes),
            "{ending:?} {phase}"
        );
    }
    let wish = want(Desired::Present, Phase::Running, 2);
    let held = plan(&wish, &seen([stopped(hand(5))]), at(10));
    assert!(
        held.reason.contains("worker 1 was stopped by hand"),
        "{}",
        held.reason
    );
    assert!(
        held.reason.contains("starting the workshop"),
        "{}",
        held.reason
    );

    // One of two: the other goes on, and nobody waits for what is held.
    for phase in [Phase::Running, Phase::Provisioning] {
        let wish = want(Desired::Present, phase, 3);
        let other = worker(Ground::Up, answers(vec![ready(3)]));
        let half = plan(&wish, &seen([stopped(hand(5)), other]), at(10));
        assert_eq!((half.steps, half.phase), (vec![], Phase::Degraded));
        assert!(
            half.reason.contains("1 of 3 seats ready"),
            "{}",
            half.reason
        );
    }

    let gone = WorkerSeen {
        ending: Some(Ending::DeletedByHand),
        ..missing()
    };
    let anew = plan(
        &want(Desired::Present, Phase::Running, 2),
        &seen([gone]),
        at(10),
    );
    assert_eq!(anew.steps, [Step::CreateWorker(ord(1))]);
    assert!(anew.reason.contains("deleted by hand"), "{}", anew.reason);
}

/// Every combination, to hold what must hold for all.
#[test]
fn nothing_is_made_for_what_should_be_gone_and_nothing_lost_for_what_should_stay() {
    use Ground::{Broken, Ending, Making, Missing, Stopped, Stopping, Unknown, Up};
    let agents = || {
        [
            AgentSeen::Silent,
            AgentSeen::Asking,
            answers(vec![]),
            answers(vec![ready(1), ready(2)]),
        ]
    };
    for ground in [
        Missing, Making, Broken, Up, Stopping, Stopped, Ending, Unknown,
    ] {
        for agent in agents() {
            let sight = seen([worker(ground, agent)]);
            for phase in [Phase::Provisioning, Phase::Running, Phase::Degraded] {
                let kept = plan(&want(Desired::Present, phase, 2), &sight, at(1)).steps;
                let harm = |step: &Step| {
                    matches!(
                        step,
                        Step::DeleteWorker(_) | Step::DeleteSeats(..) | Step::StopWorker(_)
                    )
                };
                assert!(!kept.iter().any(harm), "{sight:?} {kept:?}");
                let gone = plan(&want(Desired::Absent, phase, 2), &sight, at(1)).steps;
                let makes = |step: &Step| {
                    matches!(
                        step,
                        Step::CreateWorker(_) | Step::StartWorker(_) | Step::CreateSeats(..)
                    )
                };
                assert!(!gone.iter().any(makes), "{sight:?} {gone:?}");
            }
        }
    }
}
