//! Making a MicroVM where something is in the way, or two want the same.

use std::fs;

use crate::{BOOT, worker::Worker};

#[test]
fn two_creates_of_one_seat_make_one_micro_vm() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let mut fleet = worker.start();
    for _ in 0..2 {
        let said = fleet.ask("twice 1 1 1");
        assert!(!said.contains("seat") && !said.contains("slot"), "{said}");
    }
    fleet.wait_for("1 Ready i1 e1 r0", BOOT);
    let vmm = worker.vmm(1);
    assert_eq!(fleet.ask("twice 1 1 1"), "Ready Ready");
    assert_eq!(worker.vmms(), [vmm]);
    assert_eq!(fleet.ask("remove 1"), "ok");
    worker.assert_empty();
}

#[test]
fn a_create_during_a_delete_ends_in_one_seat_or_none() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let mut fleet = worker.start();
    // While it runs, and while it boots.
    for ready_first in [true, false, true] {
        fleet.ask("ensure 1 1 1");
        if ready_first {
            fleet.wait_for("1 Ready", BOOT);
        }
        let said = fleet.ask("remove-and 1 ensure 1 1 2");
        let created = ["ok Queued", "ok Stopping", "ok Ready", "ok Booting"];
        assert!(
            said == "ok seat 1 is being removed" || created.contains(&said.as_str()),
            "{said}"
        );
        // Asked again after the delete was answered, it is made.
        fleet.ask("ensure 1 1 3");
        fleet.wait_for("1 Ready i3", BOOT);
        assert_eq!(worker.vmms(), [worker.vmm(1)]);
        assert_eq!(fleet.ask("remove 1"), "ok");
        worker.assert_empty();
    }
}

#[test]
fn what_stands_in_a_seats_place_is_not_taken_for_it() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let mut fleet = worker.start();
    let jail = worker.run_dir().join("jails/firecracker/s1/root");
    fs::create_dir_all(&jail).unwrap();
    fs::write(jail.join("planted"), "by somebody").unwrap();
    worker.inside("ip tuntap add ctp2 mode tap");
    worker.inside("ip link add ctp3 type bridge");
    for seat in 1..=3 {
        fleet.ask(&format!("ensure {seat} {seat} 1"));
        fleet.wait_for(&format!("{seat} Ready"), BOOT);
        assert_eq!(fleet.ask(&format!("http {seat} 3001")), "200");
    }
    assert!(
        !jail.join("planted").exists(),
        "a stale jail was gone on in"
    );
    for seat in 1..=3 {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
    worker.assert_empty();
}

#[test]
fn a_full_disk_refuses_the_next_seat_and_spares_the_ones_there() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    worker.small_run_dir(400);
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    fleet.wait_for("1 Ready", BOOT);
    // What is kept for seats that are there stays free, and no more.
    let filler = worker.fill_run_dir(19 << 20);
    fleet.ask("ensure 2 2 1");
    let failed = fleet.wait_for("2 Failed", BOOT);
    assert!(
        failed.contains("there is no room for another seat's disk"),
        "{failed}"
    );
    assert!(failed.contains("1 Ready"), "{failed}");
    let written = "exec 1 head -c 1000000 /dev/zero > more && sync && stat -c %s more";
    assert_eq!(fleet.ask(written), "1000000|[0]");
    // With room again the same seat is made.
    fs::remove_file(filler).unwrap();
    fleet.ask("ensure 2 2 2");
    fleet.wait_for("2 Ready i2", BOOT);
    for seat in [1, 2] {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
    worker.assert_empty();
}
