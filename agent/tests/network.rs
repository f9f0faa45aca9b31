//! Where a seat gets to and where not: a real bridge, real nftables, seats with
//! the real guest, and a world outside that counts every packet.
//!
//! Everything is inside namespaces of the tests' own: no packet leaves the
//! machine. Without root, `runc` or an image a story prints `SKIPPED`.

// Helpers of tests may fail as tests do, and print what people want to read.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "network/claims.rs"]
mod claims;
#[path = "network/cuts.rs"]
mod cuts;
#[path = "network/drift.rs"]
mod drift;
#[path = "network/policy.rs"]
mod policy;
#[path = "network/reach.rs"]
mod reach;
#[path = "seats/worker.rs"]
mod worker;
#[path = "network/world.rs"]
mod world;

use std::time::Duration;

use worker::{FleetProcess, Worker, fleet_here};
use world::World;

const BOOTED: Duration = Duration::from_mins(1);

/// Not a story: the other process of them all.
#[test]
fn fleet_process() {
    fleet_here();
}

/// A worker with its world, and so many seats.
fn classroom(micro_vms: bool, seats: u32) -> Option<(Worker, World, FleetProcess)> {
    let worker = if micro_vms {
        Worker::of_micro_vms()?
    } else {
        Worker::new()?
    };
    let world = World::behind(&worker);
    let mut fleet = worker.start();
    let policy = r#"{"mode":"internet"}"#;
    assert_eq!(fleet.ask(&format!("egress {policy}")), "ok");
    for seat in 1..=seats {
        fleet.ask(&format!("ensure {seat} {seat} 1"));
    }
    for seat in 1..=seats {
        let patience = if micro_vms { BOOTED * 10 } else { BOOTED };
        fleet.wait_for(&format!("{seat} Ready"), patience);
    }
    Some((worker, world, fleet))
}

/// Has the seat try all targets at once; how each ended.
fn probe(fleet: &mut FleetProcess, seat: u32, targets: &[String]) -> Vec<(String, String)> {
    probe_within(fleet, seat, targets, 3)
}

/// The same with another patience, in seconds.
fn probe_within(
    fleet: &mut FleetProcess,
    seat: u32,
    targets: &[String],
    within: u32,
) -> Vec<(String, String)> {
    use base64::Engine as _;
    let script = include_str!("network/probe.py");
    let script = base64::engine::general_purpose::STANDARD.encode(script);
    let targets = targets.join(" ");
    let probe = format!(
        "exec {seat} echo {script} | base64 -d > /tmp/probe.py && python3 /tmp/probe.py {within} {targets}"
    );
    let said = fleet.ask(&probe);
    let said = said
        .strip_suffix("|[0]")
        .unwrap_or_else(|| panic!("seat {seat}: {said:?}"));
    let ended = said.split(' ').map(|one| {
        let (target, ended) = one.rsplit_once('=').unwrap_or_else(|| panic!("{said}"));
        (target.to_owned(), ended.to_owned())
    });
    ended.collect()
}
