//! All that a worker holds of its host, counted: what was there before a storm
//! and is not there after it, or the other way round, leaked.

use std::{collections::BTreeMap, fs, path::Path};

use super::{FleetProcess, Worker};

/// How many there are of what.
pub(crate) type Census = BTreeMap<&'static str, Vec<String>>;

impl Worker {
    /// What is there now: processes of the seats' uids, taps, jails, cgroups and
    /// loop devices by [`Worker::left`]; links and rules, the fleet's mounts and
    /// open files, and what lies in the run directory. Not the bridge's permanent
    /// neighbours: each slot's address is pinned once and for good.
    pub(crate) fn census(&self, fleet: &FleetProcess) -> Census {
        let agent = format!("/proc/{}", fleet.pid());
        let mounts = fs::read_to_string(format!("{agent}/mountinfo")).unwrap();
        Census::from([
            ("seats", self.left()),
            (
                "links",
                lines(&self.inside("ip -o link | cut -d: -f2"), "\n"),
            ),
            ("rules", lines(&self.inside("nft list ruleset"), "\n")),
            ("mounts", lines(&mounts, "/run/netns/")),
            ("host's mounts", self.own_mounts()),
            ("open files", open_files(Path::new(&format!("{agent}/fd")))),
            ("files", tree(&self.run_dir())),
        ])
    }

    fn own_mounts(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let ours = self.run_dir().display().to_string();
        lines(&mounts, "\n")
            .into_iter()
            .filter(|mount| mount.contains(&ours))
            .collect()
    }
}

/// The lines without those that have `not` in them: other stories' namespaces
/// come and go.
fn lines(text: &str, not: &str) -> Vec<String> {
    let told = text.lines().filter(|line| !line.contains(not));
    told.map(String::from).collect()
}

/// What each descriptor is, without the numbers of sockets and pipes.
fn open_files(folder: &Path) -> Vec<String> {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.ok()?.path()).ok())
        .map(|target| {
            let target = target.display().to_string();
            target
                .split_once(":[")
                .map_or(target.clone(), |(kind, _number)| kind.to_owned())
        })
        .collect();
    files.sort();
    files
}

/// The names below a folder.
fn tree(folder: &Path) -> Vec<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        names.push(entry.path().display().to_string());
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            names.extend(tree(&entry.path()));
        }
    }
    names.sort();
    names
}
