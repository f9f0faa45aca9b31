//! The hierarchies that limit processes, and the place in them where the seats'
//! cgroups will be.

use std::{fs, path::Path};

use anyhow::{Context as _, ensure};

use super::super::line::{Line, Verdict};
use crate::runtime::firecracker::host::Cgroups;

const ROOT: &str = "/sys/fs/cgroup";

/// All lines. `parent` is the seats' common cgroup, there or not.
pub(super) fn lines(parent: &str) -> Vec<Line> {
    let root = Path::new(ROOT);
    let version = Cgroups::of_this_host();
    let mut lines = vec![io(root, version.as_ref().ok().copied())];
    if matches!(version, Ok(Cgroups::V2)) {
        let free = free(root, parent).map(|()| format!("{parent} can limit what is below it"));
        lines.push(Line::of("cgroup parent", free, Verdict::Wrong).otherwise(
            "start the agent in a cgroup of its own beside it (systemd: Delegate=yes), or name another with --cgroup",
        ));
    }
    let found = version.map(|version| {
        let shape = match version {
            Cgroups::V1 => "version 1, a hierarchy each for",
            Cgroups::V2 => "version 2, one hierarchy with",
        };
        format!("{shape} cpu, memory and pids")
    });
    let found = Line::of("cgroups", found, Verdict::Missing)
        .otherwise("boot with systemd.unified_cgroup_hierarchy=1, or mount them");
    lines.insert(0, found);
    lines
}

fn io(root: &Path, version: Option<Cgroups>) -> Line {
    const NAME: &str = "cgroup io";
    let there = match version {
        Some(Cgroups::V2) => fs::read_to_string(root.join("cgroup.controllers"))
            .is_ok_and(|all| all.split_whitespace().any(|name| name == "io")),
        Some(Cgroups::V1) | None => root.join("blkio/blkio.throttle.read_bps_device").exists(),
    };
    if there {
        return Line::new(NAME, Verdict::Ok, "disks can be limited");
    }
    Line::new(NAME, Verdict::Warn, "there is no controller for disks").advise(
        "containers' disks are not limited, MicroVMs still have limits of their own on each disk; boot with the io controller on",
    )
}

/// Version 2 limits nothing below a cgroup that has processes itself; only the
/// real root, which has no type, may.
fn free(root: &Path, parent: &str) -> anyhow::Result<()> {
    let mut folder = root.to_owned();
    let mut folders = vec![folder.clone()];
    for part in parent.split('/') {
        folder.push(part);
        folders.push(folder.clone());
    }
    for folder in folders {
        if !folder.join("cgroup.type").exists() {
            continue;
        }
        let inside = fs::read_to_string(folder.join("cgroup.procs"))
            .with_context(|| format!("could not read who is in {}", folder.display()))?;
        ensure!(
            inside.trim().is_empty(),
            "{} processes are in {}: nothing below it can be limited",
            inside.lines().count(),
            folder.display()
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_with_processes_of_its_own_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        let put = |folder: &str, file: &str, text: &str| {
            fs::create_dir_all(root.join(folder)).unwrap();
            fs::write(root.join(folder).join(file), text).unwrap();
        };
        put("", "cgroup.procs", "1\n2\n");
        free(root, "a/b").unwrap(); // the real root, and nothing is made yet
        put("a", "cgroup.type", "domain\n");
        put("a", "cgroup.procs", "");
        free(root, "a/b").unwrap();
        put("a", "cgroup.procs", "7\n8\n");
        let told = format!("{:#}", free(root, "a/b").unwrap_err());
        assert!(told.starts_with("2 processes are in "), "{told}");
        put("a", "cgroup.procs", "");
        put("", "cgroup.type", "domain\n");
        assert!(free(root, "a").is_err(), "a root that is only seen as one");
    }

    #[test]
    fn a_host_without_a_controller_for_disks_is_warned() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for version in [None, Some(Cgroups::V1), Some(Cgroups::V2)] {
            assert_eq!(io(root, version).verdict, Verdict::Warn);
        }
        fs::write(root.join("cgroup.controllers"), "cpu io memory\n").unwrap();
        assert_eq!(io(root, Some(Cgroups::V2)).verdict, Verdict::Ok);
        assert_eq!(io(root, Some(Cgroups::V1)).verdict, Verdict::Warn);
    }
}
