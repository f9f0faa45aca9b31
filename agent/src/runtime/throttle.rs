//! How much a seat reads and writes on the device below its disk, as the kernel
//! bounds it for a cgroup.
//!
//! Way: a file -> the whole device below it -> an OCI runtime is told
//! ([`block_io`]), or the limits are written beside the jailer ([`hold`]).
//!
//! On version 1 the kernel counts written-back pages as nobody's: reads, direct
//! writes and what is synced by hand are bounded there.

use std::{
    fmt, fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clarateach_domain::limits::Limits;
use serde_json::{Value, json};
use tracing::debug;

use super::cgroups::Cgroups;

const ROOT: &str = "/sys/fs/cgroup";

/// A block device by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Device {
    major: u32,
    minor: u32,
}

impl fmt::Display for Device {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}", self.major, self.minor)
    }
}

impl std::str::FromStr for Device {
    type Err = io::Error;
    fn from_str(text: &str) -> io::Result<Self> {
        let parts = text.split_once(':');
        let numbers =
            parts.and_then(|(major, minor)| Some((major.parse().ok()?, minor.parse().ok()?)));
        let (major, minor) = numbers.ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { major, minor })
    }
}

/// Whether this kernel bounds disks for cgroups at all.
pub(super) fn has_controller(version: Cgroups) -> bool {
    let root = Path::new(ROOT);
    match version {
        Cgroups::V1 => root.join("blkio/blkio.throttle.read_bps_device").exists(),
        Cgroups::V2 => fs::read_to_string(root.join("cgroup.controllers"))
            .is_ok_and(|all| all.split_whitespace().any(|name| name == "io")),
    }
}

/// The OCI runtime's `blockIO` for a seat whose disk is in `folder`; None where
/// there is no device or no controller.
pub(super) fn block_io(
    version: Cgroups,
    folder: &Path,
    limits: Limits,
) -> io::Result<Option<Value>> {
    let Some(device) = device(folder)?.filter(|_| has_controller(version)) else {
        return Ok(None);
    };
    let of = |rate: u64| json!([{ "major": device.major, "minor": device.minor, "rate": rate }]);
    let (bytes, pieces) = (of(limits.disk_bytes()), of(limits.disk_operations()));
    Ok(Some(json!({
        "throttleReadBpsDevice": bytes,
        "throttleWriteBpsDevice": bytes,
        "throttleReadIOPSDevice": pieces,
        "throttleWriteIOPSDevice": pieces,
    })))
}

/// Bounds what the process `pid` of this cgroup reads and writes on the device that
/// holds `disk`. The jailer cannot be told: its arguments have no second `=`, and
/// it wants a value in the parent's file. Without such a device or controller the
/// drives' own limiters are what there is. Blocks.
pub(super) fn hold(
    version: Cgroups,
    cgroup: &str,
    pid: i32,
    disk: &Path,
    limits: Limits,
) -> anyhow::Result<()> {
    let Some(device) = device(disk).context("could not find the disk's device")? else {
        debug!(disk = %disk.display(), "disk is on no block device: limited by its drive alone");
        return Ok(());
    };
    let root = Path::new(ROOT);
    let folder = match version {
        Cgroups::V1 if has_controller(version) => {
            let folder = root.join("blkio").join(cgroup);
            fs::create_dir_all(&folder).context("could not make the blkio cgroup")?;
            folder
        }
        Cgroups::V2
            if enable_below(root, cgroup, "io")
                .context("could not enable the io controller")? =>
        {
            root.join(cgroup)
        }
        Cgroups::V1 | Cgroups::V2 => {
            debug!("no io controller here: disks are limited by their drives alone");
            return Ok(());
        }
    };
    for (file, value) in io_limits(version, &device.to_string(), limits) {
        fs::write(folder.join(file), &value)
            .with_context(|| format!("could not write {value:?} to {file}"))?;
    }
    fs::write(folder.join("cgroup.procs"), pid.to_string())
        .context("could not put the VMM into its io cgroup")
}

/// Files of the cgroup and what they are given. A file takes one line at a time.
fn io_limits(version: Cgroups, device: &str, limits: Limits) -> Vec<(&'static str, String)> {
    let (bytes, pieces) = (limits.disk_bytes(), limits.disk_operations());
    let of = |file, limit: u64| (file, format!("{device} {limit}"));
    match version {
        Cgroups::V1 => vec![
            of("blkio.throttle.read_bps_device", bytes),
            of("blkio.throttle.write_bps_device", bytes),
            of("blkio.throttle.read_iops_device", pieces),
            of("blkio.throttle.write_iops_device", pieces),
        ],
        Cgroups::V2 => vec![(
            "io.max",
            format!("{device} rbps={bytes} wbps={bytes} riops={pieces} wiops={pieces}"),
        )],
    }
}

/// As [`enable_below`], on this host.
pub(super) fn enable(cgroup: &str, controller: &str) -> io::Result<bool> {
    enable_below(Path::new(ROOT), cgroup, controller)
}

/// Hands a version 2 controller down to the children of `cgroup`'s parents.
/// False where there is no such controller.
fn enable_below(root: &Path, cgroup: &str, controller: &str) -> io::Result<bool> {
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

/// The whole device below a file: controllers know no partitions. None where the
/// file system has no device of its own.
fn device(file: &Path) -> io::Result<Option<Device>> {
    let number = fs::metadata(file)?.dev();
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let mut found = PathBuf::from(format!("/sys/dev/block/{major}:{minor}"));
    if found.join("partition").exists() {
        found = found.canonicalize()?;
        found.pop();
    }
    match fs::read_to_string(found.join("dev")) {
        Ok(text) => text.trim().parse().map(Some),
        Err(none) if none.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn disks_are_limited_on_their_whole_device() {
        let limits = Limits {
            cpu_weight: 100,
            network_mbits: 10,
            disk_mib_per_second: 256,
            processes: 128,
        };
        for (version, files) in [(Cgroups::V1, 4), (Cgroups::V2, 1)] {
            let limits = io_limits(version, "254:0", limits);
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
        assert!(enable_below(root, "a/s1", "io").unwrap());
        for told in [root.to_owned(), root.join("a")] {
            let text = fs::read_to_string(told.join("cgroup.subtree_control")).unwrap();
            assert_eq!(text, "+io");
        }
        assert!(!leaf.join("cgroup.subtree_control").exists());
        assert!(!enable_below(root, "a/s1", "rdma").unwrap());
    }
}
