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
        let worker = |name: &String| name.starts_with("ct-w");
        for name in names("/run/netns").into_iter().filter(worker) {
            traces.insert(format!("netns {name}"));
        }
        let link = |name: &String| name.starts_with("ctu") || name.starts_with("ctp");
        for name in names("/sys/class/net").into_iter().filter(link) {
            traces.insert(format!("link {name}"));
        }
        for mount in fs::read_to_string("/proc/self/mountinfo").unwrap().lines() {
            let mut fields = mount.split(' ').skip(3);
            let (root, at) = (fields.next().unwrap(), fields.next().unwrap());
            if ["clarateach", "/run/netns/ct-w"]
                .iter()
                .any(|mark| at.contains(mark))
            {
                traces.insert(format!("mount {root} at {at}"));
            }
        }
        groups(Path::new("/sys/fs/cgroup"), &mut traces);
        for process in names("/proc") {
            traces.extend(ours(&process));
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
            if device.contains("clarateach") {
                traces.insert(format!("loop {}", device.trim()));
            }
        }
        files(Path::new("/run/clarateach"), &mut traces);
        Self(traces)
    }

    /// What is here and was not in `before`, a line each; what belongs to other
    /// installations than that of `data` is theirs.
    pub fn since(&self, before: &Self, data: &Path) -> Vec<String> {
        let theirs = theirs(data);
        let new = self.0.difference(&before.0);
        new.filter(|trace| !theirs.iter().any(|mark| says(trace, mark)))
            .cloned()
            .collect()
    }
}

/// Whether `mark` stands in `text` as a word of its own: `w1` is not in `w10`.
fn says(text: &str, mark: &str) -> bool {
    text.match_indices(mark).any(|(at, _)| {
        let next = text[at + mark.len()..].chars().next();
        next.is_none_or(|c| !c.is_ascii_alphanumeric())
    })
}

/// What the workers of other installations on this host are called.
fn theirs(data: &Path) -> Vec<String> {
    let folder = Path::new("/run/clarateach/alloc");
    let mut marks = Vec::new();
    for name in names("/run/clarateach/alloc") {
        let Ok(text) = fs::read_to_string(folder.join(name)) else {
            continue;
        };
        let Ok(place) = serde_json::from_str::<serde_json::Value>(&text) else {
            continue;
        };
        let (Some(dir), Some(index)) = (place["data_dir"].as_str(), place["index"].as_u64()) else {
            continue;
        };
        if Path::new(dir) != data {
            marks.push(dir.to_owned());
            marks.push(format!("ct-w{index}"));
            marks.push(format!("ctu{index}"));
            marks.push(format!("clarateach/w{index}"));
            marks.push(format!("alloc/{index}.json"));
            // Shared by all installations, gone with the last worker of the host.
            marks.push("alloc/ip_forward.before".to_owned());
            marks.push("table inet clarateach_workers".to_owned());
        }
    }
    marks
}

/// The process if it is one of our programs, with its control groups, which
/// say whose it is.
fn ours(process: &str) -> Option<String> {
    let proc = Path::new("/proc").join(process);
    let program = fs::read_link(proc.join("exe")).ok()?;
    let program = program.to_str()?.trim_end_matches(" (deleted)");
    let ours = [
        "clarateach-agent",
        "clarateach-server",
        "clarateach/guest",
        "/firecracker",
    ];
    if !ours.iter().any(|name| program.ends_with(name)) {
        return None;
    }
    let line = fs::read(proc.join("cmdline")).ok()?;
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    let groups = fs::read_to_string(proc.join("cgroup")).ok()?;
    let group = groups.lines().find(|group| group.contains("clarateach"));
    // Other VMMs on this host are no business of ours.
    let vmm = program.ends_with("/firecracker");
    if vmm && !group.is_some_and(|group| group.contains("/clarateach/")) {
        return None;
    }
    Some(format!(
        "process {process} {line} {}",
        group.unwrap_or_default()
    ))
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
