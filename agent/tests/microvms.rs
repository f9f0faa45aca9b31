//! Seats as MicroVMs: the real Firecracker in its jail, a real kernel, the real
//! guest. As `seats.rs`, and where there is no KVM a story prints `SKIPPED`.
//!
//! Times are no matter here: some hosts emulate ring 0, and there a boot takes
//! half a minute.

#[path = "microvms/creates.rs"]
mod creates;
#[path = "microvms/deaths.rs"]
mod deaths;
#[path = "microvms/deletes.rs"]
mod deletes;
#[path = "microvms/images.rs"]
mod images;
#[path = "microvms/leaks.rs"]
mod leaks;
#[path = "microvms/limits.rs"]
mod limits;
#[path = "microvms/logs.rs"]
mod logs;
#[path = "microvms/registers.rs"]
mod registers;
#[path = "seats/worker.rs"]
mod worker;

use std::time::Duration;

use worker::{Worker, fleet_here};

/// A template's boot and a restore, on a host that emulates and is busy.
const BOOT: Duration = Duration::from_secs(400);

/// Not a story: the other process of them all.
#[test]
fn fleet_process() {
    fleet_here();
}

#[test]
fn a_micro_vm_has_a_kernel_of_its_own_and_leaves_nothing() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let mut fleet = worker.start();
    fleet.ask("ensure 3 2 1");
    println!("{}", fleet.wait_for("3 Ready", BOOT));
    assert_eq!(fleet.ask("http 3 3001"), "200");
    assert_eq!(fleet.ask("http 3 3002"), "200");
    let kernel = fleet.ask("exec 3 uname -r; hostname; echo $GREETING");
    assert!(kernel.ends_with("|seat-3|hello|[0]"), "{kernel}");
    let host = worker.inside("uname -r");
    assert!(!kernel.starts_with(host.trim()), "{kernel}");
    assert_eq!(fleet.ask("remove 3"), "ok");
    assert_eq!(fleet.ask("list"), "");
    drop(fleet);
    worker.assert_empty();
}

#[test]
fn clones_of_one_template_share_no_randomness_no_name_and_no_secret() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    fleet.ask("ensure 2 2 1");
    fleet.wait_for("1 Ready", BOOT);
    fleet.wait_for("2 Ready", BOOT);
    for (what, command) in [
        ("randomness", "od -An -N16 -tx1 /dev/urandom"),
        ("machine id", "cat /etc/machine-id"),
        ("hostname", "hostname"),
        ("address", "cat /sys/class/net/eth0/address"),
        ("boot id", "cat /proc/sys/kernel/random/uuid"),
    ] {
        let one = fleet.ask(&format!("exec 1 {command}"));
        let two = fleet.ask(&format!("exec 2 {command}"));
        assert!(
            one.ends_with("|[0]") && two.ends_with("|[0]"),
            "{one} {two}"
        );
        assert_ne!(one, two, "{what}");
    }
    // What only a seat knows was never in a template's memory.
    let secrets = ["1", "2"].map(|slot| {
        let secret = worker.run_dir().join(format!("seats/{slot}/secret"));
        std::fs::read_to_string(secret).unwrap()
    });
    assert_ne!(secrets[0], secrets[1]);
    let planted = [secrets[0].as_str(), &secrets[1], "seat-1", "GREETING"];
    for file in worker.template_files() {
        // Once for all of them: a template is half a gigabyte, and there may be many.
        let hold = |texts: &[&str]| {
            let mut grep = std::process::Command::new("grep");
            grep.args(["-qaF"]);
            grep.args(texts.iter().flat_map(|text| ["-e", text]));
            grep.arg(&file).status().unwrap().success()
        };
        let there = if file.ends_with("memory") {
            "clarateach"
        } else {
            "lost+found"
        };
        assert!(hold(&[there]), "the search finds nothing at all");
        assert!(!hold(&planted), "{} holds what is a seat's", file.display());
    }
    for seat in [1, 2] {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
    worker.assert_empty();
}

#[test]
fn a_killed_agent_leaves_its_micro_vms_and_the_next_adopts_them() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    fleet.wait_for("1 Ready", BOOT);
    let started = "exec 1 nohup sleep 5000 >/dev/null 2>&1 & echo $!";
    let shell = fleet.ask(started);
    let vmm = worker.vmm(1);
    fleet.kill();

    let mut fleet = worker.start();
    let list = fleet.wait_for("1 Ready", BOOT);
    assert!(list.contains("1 Ready i1 e1 r0"), "{list}");
    assert_eq!(worker.vmm(1), vmm, "another VMM answers");
    let pid = shell.trim_end_matches("|[0]");
    let command = fleet.ask(&format!("exec 1 tr '\\0' ' ' < /proc/{pid}/cmdline"));
    assert_eq!(command, "sleep 5000 [0]");
    assert_eq!(fleet.ask("remove 1"), "ok");
    worker.assert_empty();
}

#[test]
fn a_vmm_that_dies_or_hangs_is_started_again_with_its_files() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    fleet.wait_for("1 Ready", BOOT);
    assert_eq!(
        fleet.ask("exec 1 echo kept > kept; sync; cat kept"),
        "kept|[0]"
    );
    let deaths = [
        (1, "-KILL", "its machine ended by itself"),
        (2, "-STOP", "its machine hung: 3 looks in a row"),
    ];
    for (times, signal, why) in deaths {
        let vmm = worker.vmm(1);
        worker.inside(&format!("kill {signal} {vmm}"));
        fleet.wait_for(why, BOOT);
        let again = format!("1 Ready i1 e1 r{times}");
        fleet.wait_for(&again, BOOT);
        assert_ne!(worker.vmm(1), vmm);
        assert_eq!(fleet.ask("exec 1 cat kept"), "kept|[0]", "{signal}");
    }
    assert_ne!(fleet.ask("log 1"), "none");
    assert_eq!(fleet.ask("remove 1"), "ok");
    worker.assert_empty();
}
