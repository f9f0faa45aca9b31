//! Seats as they are: real namespaces, real `runc`, the real guest.
//!
//! Each story makes a network namespace of its own and runs a fleet in it as a
//! process of its own (this test program again, as `fleet_process`), so that it
//! can be killed. The two talk in lines of text. Without root, `runc` or an
//! image a story prints `SKIPPED`.

#[path = "seats/worker.rs"]
mod worker;

use std::time::Duration;

use worker::{Worker, fleet_here};

/// Not a story: the other process of them all.
#[test]
fn fleet_process() {
    fleet_here();
}

#[test]
fn a_seat_boots_answers_and_leaves_nothing() {
    let Some(worker) = Worker::new() else { return };
    let mut fleet = worker.start();
    fleet.ask("ensure 3 2 1");
    let ready = fleet.wait_for("3 Ready", Duration::from_secs(60));
    println!("{ready}");
    assert_eq!(fleet.ask("http 3 3001"), "200");
    assert_eq!(fleet.ask("http 3 3002"), "200");
    assert_eq!(fleet.ask("remove 3"), "ok");
    assert_eq!(fleet.ask("list"), "");
    drop(fleet);
    worker.assert_empty();
}
