//! What a host shows of ClaraTeach: taken before and after a story, it must be
//! the same.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

/// Network namespaces, links, mounts, control groups, processes, loop devices,
/// rules and allocations that carry our marks.
#[derive(Debug, PartialEq, Eq)]
pub struct Traces(BTreeSet<String>);

impl Traces {
    /// Looks at the host.
    pub fn take() -> Self {
        let mut traces = BTreeSet::new();
        for name in names("/run/netns") {
            traces.insert(format!("netns {name}"));
        }
        for link in names("/sys/class/net") {
            traces.insert(format!("link {link}"));
        }
        for mount in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
            let mut fields = mount.split(' ').skip(3);
            let (root, at) = (fields.next().unwrap(), fields.next().unwrap());
            traces.insert(format!("mount {root} at {at}"));
        }
        groups(Path::new("/sys/fs/cgroup"), &mut traces);
        for process in names("/proc") {
            let Ok(line) = fs::read(format!("/proc/{process}/cmdline")) else {
                continue;
            };
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let ours = ["clarateach-agent", "clarateach/guest", "clarateach-server"];
            if ours.iter().any(|mark| line.contains(mark)) {
                traces.insert(format!("process {process} {line}"));
            }
        }
        for table in said("nft", &["list", "tables"]).lines() {
            traces.insert(format!("nft {table}"));
        }
        for device in said(
            "losetup",
            &["--list", "--noheadings", "--output", "NAME,BACK-FILE"],
        )
        .lines()
        {
            traces.insert(format!("loop {}", device.trim()));
        }
        files(Path::new("/run/clarateach"), &mut traces);
        Self(traces)
    }

    /// What is here and was not in `before`, a line each.
    pub fn since(&self, before: &Self) -> Vec<String> {
        self.0.difference(&before.0).cloned().collect()
    }
}

fn names(folder: &str) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

fn said(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Control groups with our name in their path; the empty parent may stay.
fn groups(folder: &Path, traces: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            let path = entry.path();
            let text = path.display().to_string();
            if text.contains("/clarateach/") {
                traces.insert(format!("cgroup {text}"));
            }
            groups(&path, traces);
        }
    }
}

/// Files of allocations; an empty folder or a lock file may stay.
fn files(folder: &Path, traces: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else {
        return;
    };
    for entry in entries.filter_map(Result::ok) {
        let path = entry.path();
        if path.is_dir() {
            files(&path, traces);
        } else if path.extension().is_none_or(|end| end != "lock") {
            traces.insert(format!("file {}", path.display()));
        }
    }
}
