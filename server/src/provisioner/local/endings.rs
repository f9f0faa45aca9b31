//! Ends everything of a worker, whatever state it is in: its processes, cgroups
//! and loop devices.
//!
//! A process is the worker's if it is in the worker's network namespace, in its
//! cgroups, or has a uid that only its seats have. Looked for again until none
//! is found: what forks meanwhile is in the next look.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::alloc::Allocation;

const LIMIT: Duration = Duration::from_secs(20);
const PAUSE: Duration = Duration::from_millis(20);

/// Kills every process of the worker and returns when none is left.
pub(super) fn end_processes(place: &Allocation, dir: &Path) -> anyhow::Result<()> {
    let began = Instant::now();
    // The agent first: it must not start again what ends now.
    for pid in in_netns(place).into_iter().chain(agents(dir)) {
        end(pid);
    }
    loop {
        // Found anew each time: it may have made its groups only just now.
        for group in cgroups(place).iter().flat_map(|top| tree(top)) {
            put_kernels_out(&group);
            let _ = fs::write(group.join("cgroup.kill"), "1"); // v2 only
            let _ = fs::write(group.join("freezer.state"), "THAWED"); // v1: the frozen cannot die
        }
        // Who puts others into groups is looked for before the groups are.
        let lives = super::agent::lives(dir)?;
        let mut pids: BTreeSet<_> = agents(dir).filter(|pid| !is_dead(*pid)).collect();
        pids.extend(of_worker(place, &cgroups(place)));
        if pids.is_empty() && !lives {
            return Ok(());
        }
        for &pid in &pids {
            end(pid);
        }
        if began.elapsed() > LIMIT {
            bail!("{} processes would not end: {pids:?}", pids.len());
        }
        sleep(PAUSE);
    }
}

/// Removes the worker's cgroups, and the parent if no other worker has one.
pub(super) fn remove_cgroups(place: &Allocation) -> anyhow::Result<()> {
    for top in cgroups(place) {
        let began = Instant::now();
        for group in tree(&top) {
            put_kernels_out(&group);
        }
        // The kernel may count a dead process for a moment longer.
        while let Err(cause) = remove_tree(&top) {
            if began.elapsed() > LIMIT {
                return Err(cause)
                    .with_context(|| format!("could not remove the cgroup {}", top.display()));
            }
            sleep(PAUSE);
        }
        if let Some(parent) = top.parent() {
            let _ = fs::remove_dir(parent);
        }
    }
    Ok(())
}

/// Lets go of loop devices whose file lies in `dir`.
pub(super) fn release_loops(dir: &Path) -> anyhow::Result<()> {
    let Ok(dir) = fs::canonicalize(dir) else {
        return Ok(());
    };
    for entry in fs::read_dir("/sys/block").into_iter().flatten().flatten() {
        let file = fs::read_to_string(entry.path().join("loop/backing_file")).unwrap_or_default();
        if Path::new(file.trim_end()).starts_with(&dir) {
            let device = Path::new("/dev").join(entry.file_name());
            let done = Command::new("losetup")
                .arg("--detach")
                .arg(&device)
                .output();
            done.with_context(|| format!("could not detach {}", device.display()))?;
        }
    }
    Ok(())
}

fn end(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        let _ = kill_process(pid, Signal::KILL); // gone already is ended
    }
}

fn of_worker(place: &Allocation, groups: &[PathBuf]) -> BTreeSet<i32> {
    let mut found = in_netns(place);
    found.extend(
        groups
            .iter()
            .flat_map(|top| tree(top))
            .flat_map(|group| members(&group)),
    );
    let uids = place.uids();
    found.extend(processes().filter(|&pid| uid(pid).is_some_and(|uid| uids.contains(&uid))));
    found.retain(|pid| !is_dead(*pid) && !is_kernels(*pid));
    found
}

fn members(group: &Path) -> Vec<i32> {
    let procs = fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
    procs.lines().filter_map(|line| line.parse().ok()).collect()
}

/// KVM's timer of another worker's MicroVM can stand in a group of this one: it
/// cannot be killed and would hold the group until that machine ends.
fn put_kernels_out(group: &Path) {
    let lists = group.ancestors().map(|group| group.join("cgroup.procs"));
    let Some(first) = lists.take_while(|list| list.exists()).last() else {
        return;
    };
    for pid in members(group).into_iter().filter(|pid| is_kernels(*pid)) {
        let _ = fs::write(&first, pid.to_string()); // gone already is out
    }
}

/// The real uid, seen from here.
fn uid(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Zombies hold nothing; their parent reaps them.
fn is_dead(pid: i32) -> bool {
    stat(pid).is_none_or(|rest| rest.starts_with(['Z', 'X']))
}

/// Whether it is a thread of the kernel.
fn is_kernels(pid: i32) -> bool {
    // include/linux/sched.h
    const PF_KTHREAD: u64 = 0x0020_0000;
    let flags = stat(pid).and_then(|rest| rest.split(' ').nth(6)?.parse::<u64>().ok());
    flags.is_some_and(|flags| flags & PF_KTHREAD != 0)
}

/// What the kernel says of it after its name, from its state on.
fn stat(pid: i32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(") ").map(|(_, rest)| rest.to_owned())
}

fn in_netns(place: &Allocation) -> BTreeSet<i32> {
    let Ok(own) = fs::metadata(place.netns_path()) else {
        return BTreeSet::new();
    };
    let inside = |pid: &i32| {
        fs::metadata(format!("/proc/{pid}/ns/net"))
            .is_ok_and(|net| (net.dev(), net.ino()) == (own.dev(), own.ino()))
    };
    processes().filter(inside).collect()
}

/// Agents of this worker by their command line: also one that is only on its
/// way into the namespace.
fn agents(dir: &Path) -> impl Iterator<Item = i32> {
    let run = fs::canonicalize(dir)
        .unwrap_or_else(|_| dir.to_owned())
        .join("run");
    let run = run.into_os_string().into_encoded_bytes();
    processes().filter(move |pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut args = line.split(|byte| *byte == 0);
        args.any(|arg| arg == b"--run-dir") && args.next() == Some(&run)
    })
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The worker's cgroup in every hierarchy that is mounted, v1 and v2.
fn cgroups(place: &Allocation) -> Vec<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let tops = mounts.lines().filter_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        let kind = right.split(' ').next()?;
        matches!(kind, "cgroup" | "cgroup2").then(|| left.split(' ').nth(4))?
    });
    let own = tops.map(|top| Path::new(top).join(place.cgroup()));
    own.filter(|path| path.exists()).collect()
}

/// A cgroup and all below it, deepest first.
fn tree(top: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(top).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            all.extend(tree(&entry.path()));
        }
    }
    all.push(top.to_owned());
    all
}

fn remove_tree(top: &Path) -> std::io::Result<()> {
    for group in tree(top) {
        match fs::remove_dir(&group) {
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}
