//! Items 8 and 9: what the seat may use of the host, read back from its cgroups.
//!
//! Both kinds of hierarchies are read: one for all (version 2), or one a
//! controller (version 1).

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, ensure};

use super::vmm::{Vmm, field_of};
use crate::{
    check::line::Line,
    runtime::firecracker::{host::Cgroups, timer},
};

const ROOT: &str = "/sys/fs/cgroup";
/// What the VMM may take beside the guest's memory, in bytes.
const BESIDE_GUEST: u64 = 64 << 20;
/// Threads that no VMM needs.
const MOST_THREADS: u64 = 128;

/// All of them.
pub(super) fn lines(vmm: &Vmm) -> Vec<Line> {
    vec![
        Line::holds(8, "own cgroup", own_cgroup(vmm)),
        Line::holds(8, "cpu limit", cpu(vmm)),
        Line::holds(8, "memory limit", memory(vmm)),
        swap(vmm),
        Line::holds(8, "process limit", pids(vmm)),
        io(vmm),
        timer(vmm),
    ]
}

/// The folder of its cgroup for one controller, and whose it is.
fn folder(vmm: &Vmm, controller: &str) -> anyhow::Result<(PathBuf, Cgroups)> {
    let version = Cgroups::of_this_host()?;
    let cgroups = vmm.read("cgroup")?;
    let path = path(&cgroups, version, controller)
        .with_context(|| format!("it is in no cgroup for {controller}"))?;
    let hierarchy = match version {
        Cgroups::V1 => Path::new(ROOT).join(controller),
        Cgroups::V2 => PathBuf::from(ROOT),
    };
    Ok((hierarchy.join(path.trim_start_matches('/')), version))
}

/// The controller's line of `/proc/PID/cgroup`.
fn path<'text>(cgroups: &'text str, version: Cgroups, controller: &str) -> Option<&'text str> {
    cgroups.lines().find_map(|line| {
        let mut fields = line.splitn(3, ':');
        let (_number, names, path) = (fields.next()?, fields.next()?, fields.next()?);
        let right = match version {
            Cgroups::V1 => names.split(',').any(|name| name == controller),
            Cgroups::V2 => names.is_empty(),
        };
        right.then_some(path)
    })
}

/// What a file of its cgroup says.
fn value(vmm: &Vmm, controller: &str, v1: &str, v2: &str) -> anyhow::Result<String> {
    let (folder, version) = folder(vmm, controller)?;
    let file = match version {
        Cgroups::V1 => v1,
        Cgroups::V2 => v2,
    };
    let path = folder.join(file);
    let text =
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))?;
    Ok(text.trim().to_owned())
}

fn own_cgroup(vmm: &Vmm) -> anyhow::Result<String> {
    let mut shown = String::new();
    for controller in ["cpu", "memory", "pids"] {
        let (folder, _version) = folder(vmm, controller)?;
        ensure!(
            folder.file_name().is_some_and(|name| *name == *vmm.seen.id),
            "for {controller} it is in {}, which is not its own",
            folder.display()
        );
        let inside = fs::read_to_string(folder.join("cgroup.procs"))
            .context("could not read who is in its cgroup")?;
        let others: Vec<_> = inside
            .lines()
            .filter(|pid| *pid != vmm.seen.pid.to_string())
            .filter(|pid| !is_kernels(pid))
            .collect();
        ensure!(
            others.is_empty(),
            "process {} is in its cgroup too",
            others.join(", ")
        );
        shown = folder.display().to_string();
    }
    Ok(format!("alone in {shown}"))
}

/// A thread of the kernel, such as KVM's timer, has no memory of its own.
fn is_kernels(pid: &str) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    !status.is_empty() && field_of(&status, "VmSize").is_none()
}

fn cpu(vmm: &Vmm) -> anyhow::Result<String> {
    let (folder, version) = folder(vmm, "cpu")?;
    let read = |name: &str| {
        fs::read_to_string(folder.join(name)).with_context(|| format!("could not read {name}"))
    };
    let (bound, weight) = match version {
        Cgroups::V1 => {
            let both = format!(
                "{} {}",
                read("cpu.cfs_quota_us")?,
                read("cpu.cfs_period_us")?
            );
            (both, read("cpu.shares")?)
        }
        Cgroups::V2 => (read("cpu.max")?, read("cpu.weight")?),
    };
    let vcpus = u64::from(vmm.spec.resources.vcpus);
    let (quota, period) = quota(&bound)?;
    ensure!(
        quota <= vcpus * period,
        "it may use {quota} of every {period} µs, more than {vcpus} processors"
    );
    Ok(format!(
        "{quota} of every {period} µs, weight {}",
        weight.trim()
    ))
}

/// Two numbers; `max` and -1 are no bound.
fn quota(text: &str) -> anyhow::Result<(u64, u64)> {
    let mut numbers = text.split_whitespace();
    let mut next = || numbers.next()?.parse().ok();
    next()
        .zip(next())
        .with_context(|| format!("its processor time has no bound: {:?}", text.trim()))
}

fn memory(vmm: &Vmm) -> anyhow::Result<String> {
    let limit = value(vmm, "memory", "memory.limit_in_bytes", "memory.max")?;
    let limit: u64 = limit
        .parse()
        .with_context(|| format!("its memory is {limit}"))?;
    let guest = u64::from(vmm.spec.resources.memory_mib) << 20;
    ensure!(
        limit <= guest + BESIDE_GUEST,
        "it may take {} MiB for a guest of {} MiB",
        limit >> 20,
        guest >> 20
    );
    Ok(format!(
        "{} MiB for a guest of {} MiB",
        limit >> 20,
        guest >> 20
    ))
}

fn swap(vmm: &Vmm) -> Line {
    const NAME: &str = "swap limit";
    let counted = folder(vmm, "memory").is_ok_and(|(folder, version)| {
        let file = match version {
            Cgroups::V1 => "memory.memsw.limit_in_bytes",
            Cgroups::V2 => "memory.swap.max",
        };
        folder.join(file).exists()
    });
    if !counted {
        let why = "boot with swapaccount=1, or leave swap off";
        return Line::not_here(8, NAME, "this kernel does not count swap", why);
    }
    Line::holds(8, NAME, swap_limit(vmm))
}

fn swap_limit(vmm: &Vmm) -> anyhow::Result<String> {
    let limit = value(
        vmm,
        "memory",
        "memory.memsw.limit_in_bytes",
        "memory.swap.max",
    )?;
    // Version 1 counts both together.
    let (_folder, version) = folder(vmm, "memory")?;
    let right = match version {
        Cgroups::V1 => value(vmm, "memory", "memory.limit_in_bytes", "memory.max")?,
        Cgroups::V2 => "0".to_owned(),
    };
    ensure!(
        limit == right,
        "its memory may be swapped: {limit} and not {right}"
    );
    Ok("none of its memory may be swapped".to_owned())
}

fn pids(vmm: &Vmm) -> anyhow::Result<String> {
    let limit = value(vmm, "pids", "pids.max", "pids.max")?;
    let most: u64 = limit
        .parse()
        .with_context(|| format!("the number of its threads is {limit}"))?;
    ensure!(most <= MOST_THREADS, "it may have {most} threads");
    Ok(format!("{most} threads at most"))
}

fn io(vmm: &Vmm) -> Line {
    const NAME: &str = "io limit";
    const CONTROLLER: [&str; 2] = ["blkio", "io"];
    let there = match Cgroups::of_this_host() {
        Ok(Cgroups::V2) => fs::read_to_string(Path::new(ROOT).join("cgroup.controllers"))
            .is_ok_and(|all| all.split_whitespace().any(|name| name == CONTROLLER[1])),
        _ => Path::new(ROOT).join(CONTROLLER[0]).is_dir(),
    };
    if !there {
        let why = "the host's kernel has none; the MicroVM's own limits on each disk hold alone";
        return Line::not_here(8, NAME, "there is no controller for disks", why);
    }
    if on_no_device(vmm) {
        let why = "the MicroVM's own limits on each disk hold alone";
        return Line::not_here(8, NAME, "its disk is on no block device", why);
    }
    Line::holds(8, NAME, io_limit(vmm))
}

/// Some file systems, tmpfs among them, have no device that could be limited.
fn on_no_device(vmm: &Vmm) -> bool {
    fs::metadata(vmm.dir().file("disk.img")).is_ok_and(|disk| {
        let (major, minor) = (rustix::fs::major(disk.dev()), rustix::fs::minor(disk.dev()));
        !Path::new(&format!("/sys/dev/block/{major}:{minor}")).exists()
    })
}

fn io_limit(vmm: &Vmm) -> anyhow::Result<String> {
    let mut limits = Vec::new();
    let files: &[&str] = match folder(vmm, "blkio")?.1 {
        Cgroups::V1 => &["read_bps", "write_bps", "read_iops", "write_iops"],
        Cgroups::V2 => &[""],
    };
    for file in files {
        let v1 = format!("blkio.throttle.{file}_device");
        let set = value(vmm, "blkio", &v1, "io.max")?;
        ensure!(!set.is_empty(), "its disks' use has no bound in {v1}");
        limits.push(format!("{file} {set}").trim().to_owned());
    }
    Ok(limits.join(", "))
}

/// KVM's timer is a thread of the kernel: whose work it does, nobody would count.
fn timer(vmm: &Vmm) -> Line {
    const NAME: &str = "kvm-pit";
    if !timer::any() {
        let why = "the KVM of this host makes none that could be seen";
        return Line::not_here(9, NAME, "no thread of the kernel ticks for it", why);
    }
    Line::holds(9, NAME, timer_in_cgroup(vmm))
}

fn timer_in_cgroup(vmm: &Vmm) -> anyhow::Result<String> {
    let thread = timer::of(vmm.seen.pid).context("KVM's timers are there, and none is its")?;
    let version = Cgroups::of_this_host()?;
    let its = fs::read_to_string(format!("/proc/{thread}/cgroup"))
        .context("could not read the timer's cgroup")?;
    let own = vmm.read("cgroup")?;
    let (its, own) = (path(&its, version, "cpu"), path(&own, version, "cpu"));
    ensure!(
        its.is_some() && its == own,
        "the timer, thread {thread}, is in the cgroup {}",
        its.unwrap_or("of nobody")
    );
    Ok(format!("the timer, thread {thread}, is in its cgroup"))
}

/// The names of all cgroups beside its own.
pub(super) fn siblings(vmm: &Vmm) -> anyhow::Result<Vec<String>> {
    let mut names = Vec::new();
    for controller in ["cpu", "memory", "pids"] {
        let (folder, _version) = folder(vmm, controller)?;
        let parent = folder.parent().context("its cgroup has no parent")?;
        for entry in fs::read_dir(parent).context("could not list the cgroups")? {
            let entry = entry.context("could not list the cgroups")?;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::{super::vmm::tests::unjailed, *};

    #[test]
    fn a_cgroup_is_found_in_both_kinds_of_hierarchies() {
        let v1 = "4:memory:/a/s1\n2:cpuacct:/b\n1:cpu,cpuset:/c/s1\n0::/d\n";
        for (controller, found) in [
            ("memory", Some("/a/s1")),
            ("cpu", Some("/c/s1")),
            ("io", None),
        ] {
            assert_eq!(path(v1, Cgroups::V1, controller), found, "{controller}");
        }
        assert_eq!(path("0::/a/s:1\n", Cgroups::V2, "memory"), Some("/a/s:1"));
        assert_eq!(path("", Cgroups::V2, "memory"), None);
    }

    #[test]
    fn no_bound_is_not_taken_for_one() {
        assert_eq!(quota("100000 100000\n").unwrap(), (100_000, 100_000));
        for none in ["max 100000", "-1\n 100000", "", "100000"] {
            assert!(quota(none).is_err(), "{none:?}");
        }
    }

    #[test]
    fn a_process_outside_fails() {
        let (_dir, vmm) = unjailed();
        for looked in [own_cgroup(&vmm), cpu(&vmm), memory(&vmm), pids(&vmm)] {
            assert!(looked.is_err(), "{looked:?}");
        }
    }
}
