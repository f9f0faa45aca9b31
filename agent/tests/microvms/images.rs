//! What a MicroVM is made of, missing or spoilt: named, refused, and where
//! something else does as well, done otherwise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::FileExt as _,
    path::Path,
};

use crate::{BOOT, worker::Worker};

#[test]
fn no_seat_starts_from_an_image_that_is_missing_or_truncated() {
    let Some(mut worker) = Worker::of_micro_vms() else {
        return;
    };
    worker.own_images();
    for which in ["vmlinux", "base", "boot"] {
        let image = worker.own_image(which);
        let name = image.file_name().unwrap().to_string_lossy().into_owned();
        let whole = fs::metadata(&image).unwrap().len();
        let file = OpenOptions::new().write(true).open(&image).unwrap();
        for (length, why) in [(whole / 2, "is damaged or truncated"), (0, "truncated")] {
            file.set_len(length).unwrap();
            let refused = worker.refused();
            assert!(
                refused.contains(&name) && refused.contains(why),
                "{length} bytes: {refused}"
            );
        }
        // As long as it was, and other bytes.
        file.set_len(whole).unwrap();
        if which == "vmlinux" {
            file.write_all_at(b"\x7fELF", 0).unwrap();
        }
        let refused = worker.refused();
        assert!(refused.contains(&name), "{refused}");
        fs::remove_file(&image).unwrap();
        let refused = worker.refused();
        assert!(
            refused.contains(which) && refused.contains("scripts/build-guest.sh"),
            "{refused}"
        );
        worker.link_again(&image);
    }
    drop(worker.start());
}

#[test]
fn an_image_that_is_spoilt_later_fails_the_seat_and_says_so() {
    let Some(mut worker) = Worker::of_micro_vms() else {
        return;
    };
    worker.own_images();
    let image = worker.own_image("boot");
    let mut fleet = worker.start();
    let file = OpenOptions::new().write(true).open(&image).unwrap();
    file.write_all_at(b"spoilt", 4096).unwrap();
    fleet.ask("ensure 1 1 1");
    let failed = fleet.wait_for("1 Failed", BOOT);
    assert!(
        failed.contains("boot-") && failed.contains("is damaged or truncated"),
        "{failed}"
    );
    assert_eq!(fleet.ask("remove 1"), "ok");
    worker.assert_empty();
}

#[test]
fn a_snapshot_that_was_touched_is_refused_and_the_seat_starts_all_the_same() {
    let Some(mut worker) = Worker::of_micro_vms() else {
        return;
    };
    worker.own_images();
    // So that there is a template, kept where every other story finds it, too.
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    fleet.wait_for("1 Ready", BOOT);
    fleet.kill();
    let snapshots = worker.own_snapshots();
    for spoil in [flip as fn(&Path), truncate] {
        for entry in fs::read_dir(&snapshots).unwrap() {
            let memory = entry.unwrap().path().join("memory");
            if memory.exists() {
                spoil(&memory);
            }
        }
        let mut fleet = worker.start();
        let before = worker.logged().matches("snapshot was refused").count();
        fleet.ask("ensure 2 2 1");
        fleet.wait_for("2 Ready", BOOT);
        let logged = worker.logged();
        assert_eq!(logged.matches("snapshot was refused").count(), before + 1);
        assert_eq!(fleet.ask("exec 2 hostname"), "seat-2|[0]");
        assert_eq!(fleet.ask("remove 2"), "ok");
    }
    let logged = worker.logged();
    for why in ["memory is not what was written", "memory is truncated"] {
        assert!(logged.contains(why), "{why}");
    }
    let mut fleet = worker.start();
    assert_eq!(fleet.ask("remove 1"), "ok");
    worker.assert_empty();
}

fn flip(memory: &Path) {
    let file = OpenOptions::new().write(true).open(memory).unwrap();
    file.write_all_at(&[0x5a], 12_345).unwrap();
}

fn truncate(memory: &Path) {
    let file = OpenOptions::new().write(true).open(memory).unwrap();
    file.set_len(1 << 20).unwrap();
}

#[test]
fn a_host_without_kvm_or_tun_is_refused_with_what_to_do() {
    let Some(mut worker) = Worker::of_micro_vms() else {
        return;
    };
    for (prelude, why) in [
        (
            "mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3",
            "could not open /dev/kvm: MicroVMs need KVM",
        ),
        (
            "mount --bind /dev/null /dev/kvm",
            "could not ask KVM for its version",
        ),
        (
            "mount -t tmpfs none /dev/net",
            "there is no /dev/net/tun: load the module tun",
        ),
    ] {
        worker.begin_with(prelude);
        let refused = worker.refused();
        assert!(refused.contains(why), "{prelude}: {refused}");
    }
}

#[test]
fn a_run_directory_may_lie_deeper_than_a_sockets_path_can_be() {
    let Some(mut worker) = Worker::of_micro_vms() else {
        return;
    };
    // A Unix socket's path has 107 bytes at most; the VMM sees its own from its
    // chroot, and the agent goes by a descriptor.
    worker.deeper_run_dir(&"deep".repeat(30));
    assert!(worker.run_dir().as_os_str().len() > 120);
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    fleet.wait_for("1 Ready", BOOT);
    assert_eq!(fleet.ask("exec 1 hostname"), "seat-1|[0]");
    assert_eq!(fleet.ask("remove 1"), "ok");
    worker.assert_empty();
}
