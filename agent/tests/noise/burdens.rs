//! A seat that computes is kept off one processor until it is quiet.

use std::time::Instant;

use super::{BOOTED, FleetProcess, Worker, shares::limit_of, two_seats};

/// Computes until it is ended, on whatever the seat has.
const NOISE: &str = "exec 1 (while :; do :; done) > /dev/null 2>&1 & echo $!";

/// The slot's processors, as the kernel lists them.
fn processors(worker: &Worker, slot: u32) -> Option<String> {
    limit_of(worker, slot, "cpuset", "cpuset.cpus")
}

fn wait_until_kept_off(worker: &Worker, want: bool) {
    let until = Instant::now() + BOOTED;
    let all = processors(worker, 2);
    while (processors(worker, 1) != all) != want {
        let found = processors(worker, 1);
        assert!(Instant::now() < until, "{found:?} of {all:?}");
    }
}

fn begin(fleet: &mut FleetProcess) -> String {
    let said = fleet.ask(NOISE);
    let pid = said.strip_suffix("|[0]").map(String::from);
    pid.unwrap_or_else(|| panic!("{said}"))
}

fn end(fleet: &mut FleetProcess, noise: &str) {
    assert_eq!(fleet.ask(&format!("exec 1 kill {noise}")), "[0]");
}

#[test]
fn a_container_that_computes_is_kept_off_a_processor_until_it_is_quiet() {
    let Some((worker, _world, mut fleet)) = two_seats(false, "{}") else {
        return;
    };
    let alone = std::thread::available_parallelism().unwrap().get() == 1;
    if alone || processors(&worker, 1).is_none() {
        println!("SKIPPED: there is one processor, or no cpuset");
        return;
    }
    wait_until_kept_off(&worker, false);
    let noise = begin(&mut fleet);
    wait_until_kept_off(&worker, true);
    // It goes on, and so does the other.
    for seat in [1, 2] {
        assert_eq!(fleet.ask(&format!("exec {seat} echo here")), "here|[0]");
    }
    end(&mut fleet, &noise);
    wait_until_kept_off(&worker, false);

    // The next agent lets out whoever it finds kept off, and looks for itself.
    let noise = begin(&mut fleet);
    wait_until_kept_off(&worker, true);
    fleet.kill();
    let mut fleet = worker.start();
    fleet.wait_for("1 Ready", BOOTED);
    wait_until_kept_off(&worker, false);
    wait_until_kept_off(&worker, true);
    end(&mut fleet, &noise);
    wait_until_kept_off(&worker, false);
    for seat in [1, 2] {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
    drop(fleet);
    worker.assert_empty();
}
