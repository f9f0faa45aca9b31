//! Removing a MicroVM: its guest is asked first, and whoever does not listen is
//! ended all the same.

use crate::{BOOT, worker::Worker};

#[test]
fn a_delete_asks_the_guest_waits_and_takes_everything() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let mut fleet = worker.start();
    for seat in 1..=3 {
        fleet.ask(&format!("ensure {seat} {seat} 1"));
        fleet.wait_for(&format!("{seat} Ready"), BOOT);
    }
    assert_eq!(fleet.ask("remove 1 60"), "ok");
    assert!(
        worker.logged().contains("guest had its grace stopped=true"),
        "the guest was killed"
    );
    // One that hears nothing, and one that is dead already.
    worker.inside(&format!("kill -STOP {}", worker.vmm(2)));
    assert_eq!(fleet.ask("remove 2"), "ok");
    assert!(
        worker
            .logged()
            .contains("guest had its grace stopped=false")
    );
    worker.inside(&format!("kill -KILL {}", worker.vmm(3)));
    assert_eq!(fleet.ask("remove 3"), "ok");
    worker.assert_empty();
}
