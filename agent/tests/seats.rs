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

/// Ten times what a boot should take at most.
const BOOTED: Duration = Duration::from_mins(1);
/// When the machine's first process started, which is the machine's name in time.
const BORN: &str = "exec 1 cut -d' ' -f22 /proc/1/stat";

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
    let ready = fleet.wait_for("3 Ready", BOOTED);
    println!("{ready}");
    assert_eq!(fleet.ask("http 3 3001"), "200");
    assert_eq!(fleet.ask("http 3 3002"), "200");
    assert!(fleet.ask("log 3").ends_with(" bytes"));
    assert_eq!(fleet.ask("remove 3"), "ok");
    assert_eq!(fleet.ask("log 3"), "none");
    assert_eq!(fleet.ask("list"), "");
    drop(fleet);
    worker.assert_empty();
}

#[test]
fn a_killed_agent_leaves_its_seats_and_the_next_adopts_them() {
    let Some(worker) = Worker::new() else { return };
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    fleet.ask("ensure 2 2 1");
    fleet.wait_for("1 Ready", BOOTED);
    fleet.wait_for("2 Ready", BOOTED);
    assert_eq!(fleet.ask("epoch 2 9"), "ok");
    let before = fleet.ask(BORN);
    assert!(before.ends_with("|[0]"), "{before}");
    assert_eq!(
        fleet.ask("exec 1 nohup sleep 1000 >/dev/null 2>&1 & echo started"),
        "started|[0]"
    );
    fleet.kill();

    let mut fleet = worker.start();
    let list = fleet.ask("list");
    assert_eq!(list, "1 Ready i1 e1 r0 q0 ;2 Ready i1 e9 r0 q0");
    assert_eq!(fleet.ask(BORN), before, "another machine answers");
    assert_eq!(fleet.ask("exec 1 pgrep -c sleep"), "1|[0]");
    assert_eq!(fleet.ask("http 2 3002"), "200");

    fleet.kill();
    let mut fleet = worker.start();
    for seat in [1, 2] {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
    worker.assert_empty();
}

#[test]
fn a_machine_that_dies_is_started_again_with_its_files() {
    let Some(worker) = Worker::new() else { return };
    let mut fleet = worker.start();
    fleet.ask("ensure 1 5 1");
    fleet.wait_for("1 Ready", BOOTED);
    let before = fleet.ask("life 1");
    assert_eq!(fleet.ask("exec 1 echo kept > note; sync"), "[0]");
    worker.kill_guest(5);
    fleet.wait_for("1 Ready i1 e1 r1", BOOTED);
    assert_eq!(fleet.ask("exec 1 cat note"), "kept|[0]");
    assert_ne!(fleet.ask("life 1"), before);

    // And also when nobody watched: found dead, it is started.
    fleet.kill();
    worker.kill_guest(5);
    let mut fleet = worker.start();
    fleet.wait_for("1 Ready", BOOTED);
    assert_eq!(fleet.ask("exec 1 cat note"), "kept|[0]");
    assert_eq!(fleet.ask("remove 1"), "ok");
    worker.assert_empty();
}

#[test]
fn a_runc_that_fails_once_is_tried_again_at_once() {
    let Some(worker) = Worker::new() else { return };
    // It leaves a record, with which the name would be taken.
    let fails_once = r#"mkdir "$2/failed" 2>/dev/null && mkdir "$2/s1" && exit 1
        exec "$RUNC" "$@""#;
    let mut fleet = worker.start_with_runc(fails_once);
    fleet.ask("ensure 1 1 1");
    fleet.wait_for("1 Ready i1 e1 r0", BOOTED);
    assert!(worker.run_dir().join("runc/failed").is_dir());
    std::fs::remove_dir(worker.run_dir().join("runc/failed")).unwrap();
    assert_eq!(fleet.ask("remove 1"), "ok");
    worker.assert_empty();
}

#[test]
fn only_a_newer_incarnation_starts_afresh() {
    let Some(worker) = Worker::new() else { return };
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 3");
    fleet.wait_for("1 Ready i3", BOOTED);
    assert_eq!(fleet.ask("exec 1 echo old > note"), "[0]");
    let born = fleet.ask(BORN);
    for same_or_older in ["ensure 1 1 3", "ensure 1 1 2"] {
        assert_eq!(fleet.ask(same_or_older), "Ready");
        assert_eq!(fleet.ask(BORN), born);
    }
    assert_eq!(fleet.ask("ensure 1 1 4"), "Queued");
    fleet.wait_for("1 Ready i4 e4", BOOTED);
    assert_ne!(fleet.ask(BORN), born);
    assert_eq!(fleet.ask("exec 1 ls"), "[0]");
    assert_eq!(fleet.ask("ensure 2 1 1"), "slot 1 belongs to seat 1");
    assert_eq!(fleet.ask("ensure 1 2 1"), "seat 1 stands on slot 1");
    assert_eq!(fleet.ask("remove 1"), "ok");
    assert_eq!(fleet.ask("remove 1"), "ok");
    worker.assert_empty();
}

#[test]
fn an_epoch_is_never_lowered_and_outlives_the_agent() {
    let Some(worker) = Worker::new() else { return };
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    for (raise, in_force) in [("epoch 1 7", "Some(7)"), ("epoch 1 4", "Some(7)")] {
        assert_eq!(fleet.ask(raise), "ok");
        let life = fleet.ask("life 1");
        assert!(life.contains(in_force), "{raise}: {life}");
    }
    fleet.wait_for("1 Ready", BOOTED);
    fleet.kill();
    let mut fleet = worker.start();
    assert!(fleet.ask("life 1").contains("Some(7)"));
    fleet.kill();
    // Without it nobody is admitted, until the control plane speaks.
    std::fs::remove_file(worker.run_dir().join("seats/1/epoch")).unwrap();
    let mut fleet = worker.start();
    assert!(fleet.ask("life 1").contains("epoch: None"));
    assert_eq!(fleet.ask("epoch 1 7"), "ok");
    assert!(fleet.ask("life 1").contains("Some(7)"));
    assert_eq!(fleet.ask("remove 1"), "ok");
}

#[test]
fn what_earlier_lives_left_is_swept() {
    let Some(worker) = Worker::new() else { return };
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    fleet.wait_for("1 Ready", BOOTED);
    fleet.kill();
    // Removal was cut off after its first step.
    std::fs::remove_file(worker.run_dir().join("seats/1/spec.json")).unwrap();
    worker.inside("ip link add ctp7 type bridge");
    let mut fleet = worker.start();
    assert_eq!(fleet.ask("list"), "");
    worker.assert_empty();
}

#[test]
fn a_seat_whose_spec_cannot_be_read_is_left_alone_and_listed_as_failed() {
    let Some(worker) = Worker::new() else { return };
    let mut fleet = worker.start();
    for seat in [1, 2] {
        fleet.ask(&format!("ensure {seat} {seat} 1"));
        fleet.wait_for(&format!("{seat} Ready"), BOOTED);
    }
    assert_eq!(fleet.ask("epoch 1 7"), "ok");
    fleet.kill();
    let file = |name: &str| worker.run_dir().join("seats").join(name);
    let pid = std::fs::read_to_string(file("1/pid")).unwrap();
    for damaged in ["1/spec.json", "2/spec.json", "2/seat"] {
        std::fs::write(file(damaged), "{").unwrap();
    }
    let mut fleet = worker.start();
    let list = fleet.ask("list");
    assert!(
        list.starts_with("1 Failed i1 e7 r0 q0 the seat's spec could not be read"),
        "{list}"
    );
    assert!(
        !list.contains(';'),
        "nobody can tell whose the other is: {list}"
    );
    assert!(
        fleet
            .ask("ensure 2 2 1")
            .contains("mend or remove its folder")
    );
    let command = format!("/proc/{}/cmdline", pid.trim());
    // A process that ended and is not reaped has none.
    let runs = || std::fs::read(&command).is_ok_and(|command| !command.is_empty());
    assert!(runs(), "its machine was not left alone");
    // What holds for every seat that failed holds for it.
    assert_eq!(fleet.ask("ensure 1 1 1"), "Failed");
    assert_eq!(fleet.ask("epoch 1 8"), "ok");
    fleet.wait_for("1 Failed i1 e8", BOOTED);
    assert_eq!(fleet.ask("ensure 1 1 9"), "Queued");
    fleet.wait_for("1 Ready i9 e9", BOOTED);
    assert!(!runs(), "its old machine runs on");
    fleet.kill();

    std::fs::write(file("1/spec.json"), "").unwrap();
    std::fs::remove_file(file("2/spec.json")).unwrap();
    let mut fleet = worker.start();
    assert!(fleet.ask("list").starts_with("1 Failed i9 e9"));
    assert_eq!(fleet.ask("remove 1"), "ok");
    assert_eq!(fleet.ask("list"), "");
    worker.assert_empty();
}

#[test]
fn a_learner_is_root_in_the_seat_and_nobody_outside() {
    let Some(worker) = Worker::new() else { return };
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    fleet.ask("ensure 2 2 1");
    fleet.wait_for("1 Ready", BOOTED);
    fleet.wait_for("2 Ready", BOOTED);
    for (command, said) in [
        (
            "id -un; pwd; hostname",
            "learner|/home/learner/workspace|seat-1|[0]",
        ),
        ("sudo -n id -u", "0|[0]"),
        (
            "sudo -n chown daemon note 2>&1; touch note; sudo -n chown daemon note; stat -c %U note",
            "chown: cannot access 'note': No such file or directory|daemon|[0]",
        ),
        (
            "sudo -n mount -t tmpfs x /mnt 2>/dev/null || echo refused",
            "refused|[0]",
        ),
        ("unshare -U true 2>/dev/null || echo refused", "refused|[0]"),
        (
            "sudo -n mknod /tmp/null c 1 3 2>/dev/null || echo refused",
            "refused|[0]",
        ),
        (
            "sudo -n sh -c 'echo 1 > /proc/sys/kernel/panic' 2>/dev/null || echo refused",
            "refused|[0]",
        ),
        ("ls /sys | wc -l", "0|[0]"),
        ("cat /proc/1/cgroup | cut -d: -f3 | sort -u", "/|[0]"),
        // Its own gateway may be pinged, and nothing else is there.
        (
            "ping -c1 -W5 192.168.100.1 >/dev/null 2>&1 || echo no",
            "[0]",
        ),
        (
            "curl -s -m 2 http://192.168.100.12:3001/health || echo closed",
            "closed|[0]",
        ),
        (
            "curl -s -m 2 http://192.168.100.1:9090/health || echo closed",
            "closed|[0]",
        ),
        (
            "curl -s -m 2 http://169.254.169.254/ || echo closed",
            "closed|[0]",
        ),
        (
            "cat /sys/class/net/eth0/address 2>/dev/null; grep -c : /proc/net/if_inet6; true",
            "0|[0]",
        ),
        // More than the disk holds, and it is still there afterwards.
        (
            "head -c 400M /dev/zero > big 2>/dev/null || echo full; rm big; sync; echo fits > note2; cat note2",
            "full|fits|[0]",
        ),
        (
            "ulimit -Hn | grep -qE '^[0-9]+$' && echo bounded",
            "bounded|[0]",
        ),
    ] {
        assert_eq!(fleet.ask(&format!("exec 1 {command}")), said, "{command}");
    }
    assert_eq!(fleet.ask("http 2 3001"), "200");
}

#[test]
fn many_seats_boot_at_once_and_wait_in_order() {
    let Some(worker) = Worker::new() else { return };
    let mut fleet = worker.start();
    for seat in 1..=12 {
        fleet.ask(&format!("ensure {seat} {seat} 1"));
    }
    for seat in 1..=12 {
        fleet.wait_for(&format!("{seat} Ready"), BOOTED);
    }
    // Removed while it waits or boots, a seat is gone all the same.
    for seat in 13..=20 {
        fleet.ask(&format!("ensure {seat} {seat} 1"));
    }
    for seat in 1..=20 {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
    assert_eq!(fleet.ask("list"), "");
    worker.assert_empty();
}
