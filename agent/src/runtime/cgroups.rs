//! A seat's cgroups, in whatever hierarchies this kernel has: found, emptied
//! and removed. Making them is the OCI runtime's.

use std::{
    fs, io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use rustix::process::{Pid, Signal, kill_process};

const ROOT: &str = "/sys/fs/cgroup";

/// Which cgroup hierarchies limit processes here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cgroups {
    /// One a controller.
    V1,
    /// One for all.
    V2,
}

impl Cgroups {
    pub(crate) fn of_this_host() -> anyhow::Result<Self> {
        let root = Path::new(ROOT);
        let wanted = ["cpu", "memory", "pids"];
        let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        let has = |name: &&str| controllers.split_whitespace().any(|found| found == *name);
        if wanted.iter().all(has) {
            return Ok(Self::V2);
        }
        let missing: Vec<_> = wanted
            .into_iter()
            .filter(|name| !root.join(name).is_dir())
            .collect();
        ensure!(
            missing.is_empty(),
            "no cgroup hierarchy has the controllers {}",
            missing.join(", ")
        );
        Ok(Self::V1)
    }

    /// Where the cgroup `name` has its files for one controller.
    pub(super) fn folder(self, controller: &str, name: &str) -> PathBuf {
        match self {
            Self::V1 => Path::new(ROOT).join(controller).join(name),
            Self::V2 => Path::new(ROOT).join(name),
        }
    }
}

/// Version 1's word for a weight: 1024 where version 2 has 100.
pub(super) fn shares(weight: u32) -> u32 {
    weight * 1024 / 100
}

/// The folders of the cgroup `name` that exist: one under version 2, one a
/// controller under version 1.
pub(super) fn folders(name: &str) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let whole = Path::new(ROOT).join(name);
    if whole.is_dir() {
        found.push(whole);
    }
    for entry in fs::read_dir(ROOT)? {
        let entry = entry?;
        // Version 1 has links such as `cpu` to `cpu,cpuacct`; one way suffices.
        if !entry.file_type()?.is_dir() {
            continue;
        }
        let folder = entry.path().join(name);
        if folder.is_dir() {
            found.push(folder);
        }
    }
    Ok(found)
}

/// Whether swap is accounted, so that a limit on it can be set.
pub(super) fn counts_swap() -> bool {
    let version_1 = Path::new(ROOT).join("memory/memory.memsw.limit_in_bytes");
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default();
    let version_2 = Path::new(ROOT).join("cgroup.controllers").exists();
    version_1.exists() || (version_2 && swaps.lines().count() > 1)
}

/// Kills what is in the cgroup and removes it. Blocks at most `within`.
pub(super) fn remove(name: &str, within: Duration) -> anyhow::Result<()> {
    let until = Instant::now() + within;
    let mut pause = Duration::from_millis(1);
    loop {
        let folders = folders(name).context("could not look for the seat's cgroups")?;
        let mut left = false;
        for folder in &folders {
            if fs::remove_dir(folder).is_err() && folder.exists() {
                left = true;
                end_processes(folder)?;
            }
        }
        if !left {
            return Ok(());
        }
        ensure!(
            Instant::now() < until,
            "the cgroup {name} is still in use after {within:?}"
        );
        thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

fn end_processes(folder: &Path) -> anyhow::Result<()> {
    let Ok(inside) = fs::read_to_string(folder.join("cgroup.procs")) else {
        return Ok(()); // removed meanwhile
    };
    for pid in inside.lines().filter_map(|line| line.parse().ok()) {
        let Some(pid) = Pid::from_raw(pid) else {
            continue;
        };
        if is_kernels(pid) {
            // KVM's timer of another machine, taken for this one's: it cannot be
            // killed and would hold the group until that machine ends.
            leave(folder, pid)?;
            continue;
        }
        match kill_process(pid, Signal::KILL) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(error) => return Err(error).context("could not kill a process of the seat"),
        }
    }
    Ok(())
}

/// Whether it is a thread of the kernel: those have no program.
fn is_kernels(pid: Pid) -> bool {
    // Field 9, the flags, holds PF_KTHREAD (include/linux/sched.h).
    const PF_KTHREAD: u64 = 0x0020_0000;
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    stat.is_ok_and(|stat| flags(&stat).is_some_and(|flags| flags & PF_KTHREAD != 0))
}

fn flags(stat: &str) -> Option<u64> {
    let (_name, rest) = stat.rsplit_once(") ")?;
    rest.split(' ').nth(6)?.parse().ok()
}

/// Puts it into the hierarchy's first group, which always may hold threads.
fn leave(folder: &Path, pid: Pid) -> anyhow::Result<()> {
    let lists = folder.ancestors().map(|group| group.join("cgroup.procs"));
    let Some(first) = lists.take_while(|list| list.exists()).last() else {
        return Ok(()); // removed meanwhile
    };
    match fs::write(first, pid.as_raw_nonzero().to_string()) {
        Err(error) if error.raw_os_error() != Some(libc::ESRCH) => {
            Err(error).context("could not put a thread of the kernel out of the seat's cgroup")
        }
        _ => Ok(()),
    }
}

/// The names of the cgroups below `parent` in any hierarchy.
pub(super) fn below(parent: &str) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for folder in folders(parent)? {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                names.extend(entry.file_name().into_string());
            }
        }
    }
    names.sort();
    names.dedup();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_of_the_kernel_are_told_from_processes() {
        let own = Pid::from_raw(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(!is_kernels(own));
        for (stat, want) in [
            ("2 (kthreadd) S 0 0 0 0 -1 2129984 0 0", Some(2_129_984)),
            ("9 (a) b) S 1 9 9 0 -1 4194560 1 0", Some(4_194_560)),
            ("9 (a", None),
        ] {
            assert_eq!(flags(stat), want, "{stat}");
        }
    }
}
