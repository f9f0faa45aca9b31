//! What a live MicroVM may take of its host, read back from the kernel.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

use std::{fs, path::PathBuf};

use crate::{BOOT, worker::Worker};

#[test]
fn a_micro_vms_cgroup_bounds_processor_memory_processes_and_disk() {
    let Some(worker) = Worker::of_micro_vms() else {
        return;
    };
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    fleet.wait_for("1 Ready", BOOT);
    let vmm = worker.vmm(1).to_string();
    let version_1 = fs::metadata("/sys/fs/cgroup/cpu").is_ok();
    let (files, io): (&[_], _) = if version_1 {
        (
            &[
                ("cpu", "cpu.cfs_quota_us", "100000"),
                ("cpu", "cpu.shares", "1024"),
                ("memory", "memory.limit_in_bytes", "335544320"),
                ("pids", "pids.max", "64"),
            ],
            ("blkio", "blkio.throttle.write_bps_device"),
        )
    } else {
        (
            &[
                ("", "cpu.max", "100000 100000"),
                ("", "cpu.weight", "100"),
                ("", "memory.max", "335544320"),
                ("", "memory.swap.max", "0"),
                ("", "pids.max", "64"),
            ],
            ("", "io.max"),
        )
    };
    let folder = |controller: &str| {
        let root = PathBuf::from("/sys/fs/cgroup").join(controller);
        (root.clone(), root.join(worker.cgroup()).join("s1"))
    };
    let inside = |folder: &PathBuf, pid: &str| {
        let pids = fs::read_to_string(folder.join("cgroup.procs")).unwrap();
        pids.lines().any(|line| line == pid)
    };
    for (controller, file, want) in files {
        let (_root, folder) = folder(controller);
        let limit = fs::read_to_string(folder.join(file)).unwrap();
        assert_eq!(limit.trim(), *want, "{file}");
        assert!(inside(&folder, &vmm), "the VMM is not in {controller}");
    }
    let (root, io_folder) = folder(io.0);
    let has_io = if version_1 {
        root.join(io.1).exists()
    } else {
        let all = fs::read_to_string(root.join("cgroup.controllers")).unwrap();
        all.split_whitespace().any(|name| name == "io")
    };
    if has_io && worker.run_dir_has_a_device() {
        let limit = fs::read_to_string(io_folder.join(io.1)).unwrap();
        assert!(limit.contains("44040192"), "{limit:?}");
        assert!(inside(&io_folder, &vmm), "the VMM is not limited");
    } else {
        println!("SKIPPED in part: no io controller for the disk's device");
    }
    match timer_of(&vmm) {
        Some(timer) => {
            let (_root, folder) = folder(if version_1 { "cpu" } else { "" });
            assert!(inside(&folder, &timer), "kvm-pit/{vmm} works for everybody");
        }
        None => println!("SKIPPED in part: this KVM has no thread kvm-pit/{vmm}"),
    }
    assert_eq!(fleet.ask("remove 1"), "ok");
    worker.assert_empty();
}

/// The kernel's thread that ticks for a VMM.
fn timer_of(vmm: &str) -> Option<String> {
    let name = format!("kvm-pit/{vmm}");
    fs::read_dir("/proc").unwrap().find_map(|entry| {
        let pid = entry.ok()?.file_name().into_string().ok()?;
        let comm = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
        (comm.trim_end() == &name[..name.len().min(15)]).then_some(pid)
    })
}
