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

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
    time::Duration,
};

use worker::{FleetProcess, Worker, fleet_here};
use world::World;

const BOOTED: Duration = Duration::from_mins(1);
/// What tries every way out, built beside the tests.
const PROBE: &str = env!("CARGO_BIN_EXE_clarateach-probe");

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
    let put = fleet.ask(&putting(seat));
    assert!(put == "201" || put == "204", "seat {seat}: {put}");
    let said = fleet.ask(&probing(seat, "3", targets));
    ended(seat, &said)
}

/// The line that brings a seat its probe.
fn putting(seat: u32) -> String {
    static SMALL: LazyLock<PathBuf> = LazyLock::new(|| {
        // Without what a debugger wants: it would be most of what is sent.
        let small = Path::new(PROBE).with_extension("small");
        let half = small.with_extension(std::process::id().to_string());
        let strip = Command::new("strip")
            .arg("-o")
            .arg(&half)
            .arg(PROBE)
            .status();
        assert!(strip.unwrap().success(), "strip");
        fs::rename(&half, &small).unwrap();
        small
    });
    format!("put {seat} {} probe", SMALL.display())
}

/// The line that has it try; `within` is the probe's own word for how long.
fn probing(seat: u32, within: &str, targets: &[String]) -> String {
    let targets = targets.join(" ");
    format!("exec {seat} chmod +x ~/workspace/probe && ~/workspace/probe {within} {targets}")
}

/// What it answers.
fn ended(seat: u32, said: &str) -> Vec<(String, String)> {
    let said = said
        .strip_suffix("|[0]")
        .unwrap_or_else(|| panic!("seat {seat}: {said:?}"));
    let ended = said.split(' ').map(|one| {
        let (target, ended) = one.rsplit_once('=').unwrap_or_else(|| panic!("{said}"));
        (target.to_owned(), ended.to_owned())
    });
    ended.collect()
}
