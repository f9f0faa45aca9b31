//! Where a worker's network is, and that of each of its seats.

use std::{
    fs::{self, File},
    os::{fd::AsFd as _, unix::fs::MetadataExt as _},
    path::{Path, PathBuf},
    thread,
};

use anyhow::{Context as _, anyhow, ensure};
use clarateach_domain::{
    egress::Egress,
    ids::{SeatNo, Slot},
};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::{
    network::survey::{Raised, policy},
    rundir::RunDir,
    runtime::firecracker::seen::Seen,
};

/// A worker whose walls were raised.
pub(super) struct Worker {
    pub(super) raised: Raised,
    /// What its agent was told last.
    pub(super) egress: Egress,
    /// Those that live, by slot.
    pub(super) seats: Vec<Seat>,
    pub(super) namespace: File,
}

/// A seat that lives.
pub(super) struct Seat {
    pub(super) number: SeatNo,
    pub(super) slot: Slot,
    /// A container's network namespace; a MicroVM has none that could be entered.
    pub(super) inside: Option<File>,
}

impl Worker {
    /// By what its agent, that lives or lived, left in the run directory. Blocks.
    pub(super) fn find(run_dir: &Path) -> anyhow::Result<Self> {
        // Opening one makes it; a wrong path must not leave folders.
        ensure!(
            run_dir.join("seats").is_dir(),
            "{} is no agent's run directory: it has no seats/",
            run_dir.display()
        );
        let run = RunDir::open(run_dir).context("could not open --run-dir")?;
        let raised = Raised::read(&run.walls()).with_context(|| {
            format!(
                "could not read {}: no agent of this version raised walls here",
                run.walls().display()
            )
        })?;
        let namespace = namespace(raised.namespace).context(
            "the worker's network namespace is gone: the worker was stopped, or this host started anew",
        )?;
        let mut seats = Vec::new();
        let mut slots = run.slots().context("could not list the seats")?;
        slots.sort_unstable();
        for slot in slots {
            seats.extend(seat(&run, slot, raised.namespace)?);
        }
        Ok(Self {
            egress: policy(&run.egress()),
            raised,
            seats,
            namespace,
        })
    }
}

fn seat(run: &RunDir, slot: Slot, workers: (u64, u64)) -> anyhow::Result<Option<Seat>> {
    let dir = run.seat(slot);
    let spec = dir
        .spec()
        .with_context(|| format!("could not read what slot {slot} should be"))?;
    let Some(spec) = spec else {
        return Ok(None); // rubbish, to be swept
    };
    let live = |inside| Seat {
        number: spec.seat,
        slot,
        inside,
    };
    if dir.file("vmm.json").exists() {
        let vmm = Seen::find(run, slot).ok().flatten();
        return Ok(vmm.map(|_vmm| live(None)));
    }
    let pid = fs::read_to_string(dir.file("pid")).unwrap_or_default();
    let inside = File::open(format!("/proc/{}/ns/net", pid.trim())).ok();
    // A number that is somebody else's by now is not a seat.
    let inside = inside.filter(|file| identity(file).is_ok_and(|other| other != workers));
    Ok(inside.map(|inside| live(Some(inside))))
}

/// The network namespace that is this one: ours, one with a name, or that of any
/// process.
fn namespace(wanted: (u64, u64)) -> Option<File> {
    let named = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let is_process = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let mut candidates = [PathBuf::from("/proc/thread-self/ns/net")]
        .into_iter()
        .chain(named.map(|entry| entry.path()))
        .chain(
            processes
                .map(|entry| entry.path())
                .filter(is_process)
                .map(|path| path.join("ns/net")),
        );
    candidates.find_map(|path| {
        let file = File::open(path).ok()?;
        (identity(&file).ok()? == wanted).then_some(file)
    })
}

fn identity(file: &File) -> std::io::Result<(u64, u64)> {
    let seen = file.metadata()?;
    Ok((seen.dev(), seen.ino()))
}

/// Acts on a thread in that network namespace, which ends with it.
pub(super) fn within<T: Send>(
    namespace: &File,
    act: impl FnOnce() -> T + Send,
) -> anyhow::Result<T> {
    thread::scope(|scope| {
        let acting = scope.spawn(|| {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(namespace.as_fd(), network)
                .context("could not enter a network namespace: run it as root")?;
            Ok(act())
        });
        let panicked = |_| Err(anyhow!("a thread of the check panicked"));
        acting.join().unwrap_or_else(panicked)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_found_by_what_it_is_and_not_by_its_name() {
        let own = File::open("/proc/thread-self/ns/net").unwrap();
        let own = identity(&own).unwrap();
        let found = namespace(own).unwrap();
        assert_eq!(identity(&found).unwrap(), own);
        assert!(namespace((own.0, 1)).is_none());
    }

    #[test]
    fn a_folder_that_is_none_of_an_agents_is_left_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let said = |path: &Path| format!("{:#}", Worker::find(path).err().unwrap());
        let wrong = dir.path().join("wrong");
        assert!(said(&wrong).contains("no agent's run directory"));
        assert!(!wrong.exists());
        RunDir::open(dir.path()).unwrap();
        assert!(said(dir.path()).contains("no agent of this version"));
    }
}
