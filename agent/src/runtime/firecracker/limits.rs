//! What one VMM may take of its host: processor, memory, processes and disk.
//!
//! Way: the jailer is told what it can be told ([`arguments`]); what it has no
//! words for is written beside it once the VMM's process is there ([`hold`]),
//! and what the kernel does for a machine that runs is counted as the machine's
//! ([`take_timer`]).

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use tracing::debug;

use super::{super::cgroups, host::Cgroups, timer};

/// What a machine may read from its disks in a second, and write as well, in bytes.
pub(super) const DISK_BYTES: u64 = 256 << 20;
/// In how many pieces.
pub(super) const DISK_OPERATIONS: u64 = 16_384;
/// Threads a VMM has: its own, the API's, one a vCPU and KVM's; with room.
const THREADS: u32 = 64;

const ROOT: &str = "/sys/fs/cgroup";

/// The jailer's arguments for the cgroup. `memory` is in bytes.
pub(super) fn arguments(version: Cgroups, vcpus: u32, memory: u64) -> Vec<String> {
    let quota = vcpus * 100_000;
    let (number, set) = match version {
        Cgroups::V1 => {
            let mut set = vec![
                format!("cpu.cfs_quota_us={quota}"),
                format!("cpu.shares={}", vcpus * 1024),
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
                format!("cpu.weight={}", vcpus * 100),
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

/// Bounds what the VMM `pid` reads and writes on the device that holds `disk`.
/// The jailer cannot be told: its arguments have no second `=`, and it wants a
/// value in the parent's file. Without such a device or controller the drives'
/// own limiters are what there is. Blocks.
pub(super) fn hold(version: Cgroups, cgroup: &str, pid: i32, disk: &Path) -> anyhow::Result<()> {
    let Some(device) = device(disk).context("could not find the disk's device")? else {
        debug!(disk = %disk.display(), "disk is on no block device: limited by its drive alone");
        return Ok(());
    };
    let root = Path::new(ROOT);
    let folder = match version {
        Cgroups::V1 if root.join("blkio/blkio.throttle.read_bps_device").exists() => {
            let folder = root.join("blkio").join(cgroup);
            fs::create_dir_all(&folder).context("could not make the blkio cgroup")?;
            folder
        }
        Cgroups::V2
            if enable(root, cgroup, "io").context("could not enable the io controller")? =>
        {
            root.join(cgroup)
        }
        Cgroups::V1 | Cgroups::V2 => {
            debug!("no io controller here: disks are limited by their drives alone");
            return Ok(());
        }
    };
    for (file, value) in io_limits(version, &device) {
        fs::write(folder.join(file), &value)
            .with_context(|| format!("could not write {value:?} to {file}"))?;
    }
    fs::write(folder.join("cgroup.procs"), pid.to_string())
        .context("could not put the VMM into its io cgroup")
}

/// Files of the cgroup and what they are given. A file takes one line at a time.
fn io_limits(version: Cgroups, device: &str) -> Vec<(&'static str, String)> {
    let of = |file, limit: u64| (file, format!("{device} {limit}"));
    match version {
        Cgroups::V1 => vec![
            of("blkio.throttle.read_bps_device", DISK_BYTES),
            of("blkio.throttle.write_bps_device", DISK_BYTES),
            of("blkio.throttle.read_iops_device", DISK_OPERATIONS),
            of("blkio.throttle.write_iops_device", DISK_OPERATIONS),
        ],
        Cgroups::V2 => vec![(
            "io.max",
            format!(
                "{device} rbps={DISK_BYTES} wbps={DISK_BYTES} riops={DISK_OPERATIONS} \
                 wiops={DISK_OPERATIONS}"
            ),
        )],
    }
}

/// Hands a version 2 controller down to the children of `cgroup`'s parents.
/// False where there is no such controller.
fn enable(root: &Path, cgroup: &str, controller: &str) -> io::Result<bool> {
    let all = fs::read_to_string(root.join("cgroup.controllers"))?;
    if !all.split_whitespace().any(|found| found == controller) {
        return Ok(false);
    }
    let below: Vec<_> = Path::new(cgroup).components().collect();
    let mut folder = root.to_owned();
    for part in below {
        fs::write(
            folder.join("cgroup.subtree_control"),
            format!("+{controller}"),
        )?;
        folder.push(part);
    }
    Ok(true)
}

/// `MAJOR:MINOR` of the whole device below a file: controllers know no
/// partitions. None where the file system has no device of its own.
fn device(file: &Path) -> io::Result<Option<String>> {
    let number = fs::metadata(file)?.dev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let mut found = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    if found.join("partition").exists() {
        found = found.canonicalize()?;
        found.pop();
    }
    match fs::read_to_string(found.join("dev")) {
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(none) if none.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
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

    #[test]
    fn limits_are_spelled_for_the_hierarchies_there_are() {
        let v1 = arguments(Cgroups::V1, 2, 1 << 30).join(" ");
        for part in [
            "--cgroup-version 1",
            "--cgroup cpu.cfs_quota_us=200000",
            "--cgroup cpu.shares=2048",
            "--cgroup memory.limit_in_bytes=1073741824",
            "--cgroup pids.max=64",
        ] {
            assert!(v1.contains(part), "{part}");
        }
        let v2 = arguments(Cgroups::V2, 1, 1 << 30);
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

    #[test]
    fn disks_are_limited_on_their_whole_device() {
        for (version, files) in [(Cgroups::V1, 4), (Cgroups::V2, 1)] {
            let limits = io_limits(version, "254:0");
            assert_eq!(limits.len(), files);
            for (file, value) in limits {
                assert!(value.starts_with("254:0 "), "{file}: {value}");
                assert!(value.contains("268435456") || value.contains("16384"));
            }
        }
        assert_eq!(device(Path::new("/proc/self/status")).unwrap(), None);
        assert!(device(Path::new("/no/such")).is_err());
    }

    #[test]
    fn a_controller_is_handed_down_to_the_cgroup_and_not_into_it() {
        let dir = tempfile::tempdir().unwrap();
        let (root, leaf) = (dir.path(), dir.path().join("a/s1"));
        fs::create_dir_all(&leaf).unwrap();
        fs::write(root.join("cgroup.controllers"), "cpu io memory\n").unwrap();
        assert!(enable(root, "a/s1", "io").unwrap());
        for told in [root.to_owned(), root.join("a")] {
            let text = fs::read_to_string(told.join("cgroup.subtree_control")).unwrap();
            assert_eq!(text, "+io");
        }
        assert!(!leaf.join("cgroup.subtree_control").exists());
        assert!(!enable(root, "a/s1", "rdma").unwrap());
    }
}
