//! What one VMM may take of its host: processor, memory and processes.
//!
//! Way: the jailer is told what it can be told ([`arguments`]); what it has no
//! words for, the disk, is written beside it once the VMM's process is there
//! (`throttle`), and what the kernel does for a machine that runs is counted as
//! the machine's ([`take_timer`]).

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clarateach_domain::limits::Limits;

use super::{super::cgroups, host::Cgroups, timer};

/// Threads a VMM has: its own, the API's, one a vCPU and KVM's; with room.
const THREADS: u32 = 64;

/// The jailer's arguments for the cgroup. `memory` is in bytes.
pub(super) fn arguments(version: Cgroups, vcpus: u32, limits: Limits, memory: u64) -> Vec<String> {
    let quota = vcpus * 100_000;
    let (number, set) = match version {
        Cgroups::V1 => {
            let mut set = vec![
                format!("cpu.cfs_quota_us={quota}"),
                format!("cpu.shares={}", cgroups::shares(limits.cpu_weight)),
                format!("memory.limit_in_bytes={memory}"),
                format!("pids.max={THREADS}"),
            ];
            if cgroups::counts_swap() {
                // Memory and swap together, so that none of it is swap.
                set.push(format!("memory.memsw.limit_in_bytes={memory}"));
            }
            ("1", set)
        }
        Cgroups::V2 => (
            "2",
            vec![
                format!("cpu.max={quota} 100000"),
                format!("cpu.weight={}", limits.cpu_weight),
                format!("memory.max={memory}"),
                "memory.swap.max=0".to_owned(),
                format!("pids.max={THREADS}"),
            ],
        ),
    };
    let mut arguments = vec!["--cgroup-version".to_owned(), number.to_owned()];
    for value in set {
        arguments.extend(["--cgroup".to_owned(), value]);
    }
    arguments
}

/// Puts the kernel's thread that ticks for the VMM `pid` into its cgroup, so
/// that a guest cannot have it work on everybody's account. False where there
/// is none to be seen. Blocks.
pub(super) fn take_timer(cgroup: &str, pid: i32) -> anyhow::Result<bool> {
    let Some(thread) = timer::of(pid) else {
        return Ok(false);
    };
    let folders = cgroups::folders(cgroup).context("could not find the VMM's cgroup")?;
    let told =
        |folder: &PathBuf| folder.join("cpu.shares").exists() || folder.join("cpu.weight").exists();
    for folder in folders.iter().filter(|folder| told(folder)) {
        fs::write(folder.join("cgroup.procs"), thread.to_string())
            .context("could not put KVM's timer into the VMM's cgroup")?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(vcpus: u32) -> Limits {
        let host = clarateach_domain::limits::Host {
            cpus: 2,
            pids: 32_768,
        };
        Limits::of(host, 1, vcpus, clarateach_domain::limits::Asked::default())
    }

    #[test]
    fn limits_are_spelled_for_the_hierarchies_there_are() {
        let v1 = arguments(Cgroups::V1, 2, of(2), 1 << 30).join(" ");
        for part in [
            "--cgroup-version 1",
            "--cgroup cpu.cfs_quota_us=200000",
            "--cgroup cpu.shares=2048",
            "--cgroup memory.limit_in_bytes=1073741824",
            "--cgroup pids.max=64",
        ] {
            assert!(v1.contains(part), "{part}");
        }
        let v2 = arguments(Cgroups::V2, 1, of(1), 1 << 30);
        assert!(v2.contains(&"cpu.max=100000 100000".to_owned()));
        assert!(v2.contains(&"cpu.weight=100".to_owned()));
        assert!(v2.contains(&"memory.max=1073741824".to_owned()));
        for limits in [v1, v2.join(" ")] {
            // The jailer takes a controller's file, one `=` and a value.
            for value in limits.split("--cgroup ").skip(1) {
                assert_eq!(value.matches('=').count(), 1, "{value}");
            }
        }
    }
}
