//! A seat that takes all it can get, and one beside it that goes on: fair shares
//! of processor, memory, processes, disk and network, in both runtimes.
//!
//! Everything is inside namespaces of the tests' own. What is asserted is that
//! others answer and that bounds hold, never how fast something is.

// Helpers of tests may fail as tests do, and print what people want to read.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "noise/burdens.rs"]
mod burdens;
#[path = "noise/neighbour.rs"]
mod neighbour;
#[path = "noise/shares.rs"]
mod shares;
#[path = "seats/worker.rs"]
mod worker;
#[path = "network/world.rs"]
mod world;

use std::time::Duration;

use worker::{FleetProcess, Worker, fleet_here};
use world::World;

/// Ten times what a boot should take at most; restored MicroVMs where KVM emulates
/// take longer.
const BOOTED: Duration = Duration::from_mins(1);
const MICRO_VM_BOOTED: Duration = Duration::from_secs(400);

/// Not a story: the other process of them all.
#[test]
fn fleet_process() {
    fleet_here();
}

/// A worker with its world and two seats, of which the first asks for `limits`.
fn two_seats(micro_vms: bool, limits: &str) -> Option<(Worker, World, FleetProcess)> {
    let worker = if micro_vms {
        Worker::of_micro_vms()?
    } else {
        Worker::new()?
    };
    let world = World::behind(&worker);
    let mut fleet = worker.start();
    assert_eq!(fleet.ask(r#"egress {"mode":"internet"}"#), "ok");
    fleet.ask(&format!("ensure 1 1 1 {limits}"));
    fleet.ask("ensure 2 2 1");
    for seat in [1, 2] {
        fleet.wait_for(&format!("{seat} Ready"), booted(micro_vms));
    }
    Some((worker, world, fleet))
}

fn booted(micro_vms: bool) -> Duration {
    if micro_vms { MICRO_VM_BOOTED } else { BOOTED }
}
