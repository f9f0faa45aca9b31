//! Whether a storm leaves anything: MicroVMs made, killed and removed at random,
//! their agent too, and afterwards the host as it was.
//!
//! `scripts/soak.sh` runs it for longer and with a seed that is known.

#![allow(
    clippy::disallowed_methods,
    reason = "scripts/soak.sh tells by the environment"
)]

use std::time::{Duration, Instant};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use crate::{
    BOOT,
    worker::{Census, FleetProcess, Step, Worker},
};

/// How long the host may take to let go of what was just removed.
const QUIET_WITHIN: Duration = Duration::from_secs(20);
/// What the agent's process holds, and not the host.
const OF_THE_AGENT: [&str; 2] = ["open files", "mounts"];

#[test]
fn a_storm_of_creates_kills_and_deletes_leaves_the_host_as_it_was() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let cycles: u32 = told("CLARATEACH_SOAK_CYCLES").unwrap_or(5);
    let seed: u64 = told("CLARATEACH_SOAK_SEED").unwrap_or_else(rand::random);
    println!("{cycles} cycles with CLARATEACH_SOAK_SEED={seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let mut fleet = worker.start();
    calm(&mut fleet);
    let first = worker.census(&fleet);
    let mut of_this_agent = first.clone();
    for cycle in 1..=cycles {
        let began = Instant::now();
        let seats = chance.random_range(1..=3_u32);
        for seat in 1..=seats {
            fleet.ask(&format!("ensure {seat} {seat} {cycle}"));
        }
        let mut said = Vec::new();
        for seat in 1..=seats {
            said.push(strike(&worker, &mut fleet, seat, &mut chance));
        }
        if chance.random_bool(0.2) {
            fleet.kill();
            fleet = worker.start();
            said.push("the agent was killed");
            for seat in 1..=seats {
                assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
            }
            calm(&mut fleet);
            of_this_agent = worker.census(&fleet);
        }
        for seat in 1..=seats {
            assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
        }
        wait_until_as(&worker, &fleet, &first, &of_this_agent);
        println!(
            "cycle {cycle}: {} in {:?}",
            said.join(", "),
            began.elapsed()
        );
    }
    worker.assert_empty();
}

/// One seat comes and goes, so that what is made once is there.
fn calm(fleet: &mut FleetProcess) {
    fleet.ask("ensure 9 9 1");
    fleet.wait_for("9 Ready", BOOT);
    assert_eq!(fleet.ask("remove 9"), "ok");
}

/// Does something bad to a seat, or nothing; says what.
fn strike(
    worker: &Worker,
    fleet: &mut FleetProcess,
    seat: u32,
    chance: &mut StdRng,
) -> &'static str {
    let ready = format!("{seat} Ready");
    match chance.random_range(0..5) {
        0 => {
            fleet.wait_for(&ready, BOOT);
            "ready"
        }
        1 => {
            let step = Step::ALL[chance.random_range(0..Step::ALL.len())];
            worker.kill_at(&format!("s{seat}"), step, BOOT);
            fleet.wait_for(&ready, BOOT);
            "killed while it was made"
        }
        2 => {
            fleet.wait_for(&ready, BOOT);
            worker.inside(&format!("kill -9 {}", worker.vmm(seat)));
            "killed"
        }
        3 => {
            fleet.wait_for(&ready, BOOT);
            worker.inside(&format!("kill -9 {}", worker.vmm(seat)));
            fleet.wait_for(&format!("{seat} Ready"), BOOT);
            "killed and made again"
        }
        _ => "removed while it is made",
    }
}

/// Waits until the host is as it was before.
fn wait_until_as(worker: &Worker, fleet: &FleetProcess, first: &Census, agent: &Census) {
    let until = Instant::now() + QUIET_WITHIN;
    loop {
        let now = worker.census(fleet);
        let other: Vec<_> = now
            .iter()
            .filter(|(what, there)| {
                let before = if OF_THE_AGENT.contains(what) {
                    agent
                } else {
                    first
                };
                before[*what] != **there
            })
            .collect();
        if other.is_empty() {
            return;
        }
        assert!(
            Instant::now() < until,
            "not as before: {other:#?}\nbefore: {first:#?}\nof this agent: {agent:#?}"
        );
        std::thread::yield_now();
    }
}

fn told<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok()?.parse().ok()
}
