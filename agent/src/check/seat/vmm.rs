//! The process that is looked at, and how it is read.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, bail, ensure};
use clarateach_domain::{ids::SeatNo, microvm::MicroVmSpec};

use crate::{
    rundir::{RunDir, SeatDir},
    runtime::firecracker::seen::Seen,
};

/// One seat's VMM, and what it was to be.
pub(super) struct Vmm {
    pub(super) run: RunDir,
    pub(super) spec: MicroVmSpec,
    pub(super) seen: Seen,
}

impl Vmm {
    /// The seat's, if it stands on this worker and lives. Blocks.
    pub(super) fn find(seat: SeatNo, run_dir: &Path) -> anyhow::Result<Self> {
        // Opening one makes it; a wrong path must not leave folders.
        ensure!(
            run_dir.join("seats").is_dir(),
            "{} is no agent's run directory: it has no seats/",
            run_dir.display()
        );
        let run = RunDir::open(run_dir).context("could not open --run-dir")?;
        let mut others = Vec::new();
        for slot in run.slots().context("could not list the seats")? {
            let Some(spec) = run
                .seat(slot)
                .spec()
                .with_context(|| format!("could not read what slot {slot} should be"))?
            else {
                continue;
            };
            if spec.seat != seat {
                others.push(spec.seat.to_string());
                continue;
            }
            let seen = Seen::find(&run, slot)?
                .with_context(|| format!("seat {seat} has no MicroVM that lives (slot {slot})"))?;
            return Ok(Self { run, spec, seen });
        }
        if others.is_empty() {
            bail!("there is no seat on this worker");
        }
        bail!(
            "there is no seat {seat} on this worker; it has {}",
            others.join(", ")
        )
    }

    /// The seat's directory.
    pub(super) fn dir(&self) -> SeatDir {
        self.run.seat(self.spec.slot)
    }

    /// A file of its own in `/proc`.
    pub(super) fn proc(&self, name: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/{name}", self.seen.pid))
    }

    /// What such a file says.
    pub(super) fn read(&self, name: &str) -> anyhow::Result<String> {
        let path = self.proc(name);
        fs::read_to_string(&path).with_context(|| format!("could not read {}", path.display()))
    }

    /// A line of its status.
    pub(super) fn status(&self, field: &str) -> anyhow::Result<String> {
        let status = self.read("status")?;
        field_of(&status, field).with_context(|| format!("its status has no {field}"))
    }

    /// What it was started with.
    pub(super) fn arguments(&self) -> anyhow::Result<Vec<String>> {
        let line = self.read("cmdline")?;
        Ok(line.split_terminator('\0').map(str::to_owned).collect())
    }

    /// Its uid, if it has only one.
    pub(super) fn uid(&self) -> anyhow::Result<u32> {
        one_id(&self.status("Uid")?)
    }
}

/// The value of a line such as `Uid:\t0\t0\t0\t0`.
pub(super) fn field_of(status: &str, field: &str) -> Option<String> {
    status
        .lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map(|value| value.trim().to_owned())
}

/// Real, effective, saved and filesystem id, which must be the same.
pub(super) fn one_id(four: &str) -> anyhow::Result<u32> {
    let mut ids = four.split_whitespace();
    let first = ids.next().context("there is no id")?;
    ensure!(ids.all(|id| id == first), "it can change ids: {four:?}");
    first.parse().context("an id is no number")
}

/// Whether two names lead to one file.
pub(super) fn same_file(one: &Path, other: &Path) -> anyhow::Result<bool> {
    let look = |path: &Path| {
        fs::metadata(path).with_context(|| format!("could not look at {}", path.display()))
    };
    let (one, other) = (look(one)?, look(other)?);
    Ok((one.dev(), one.ino()) == (other.dev(), other.ino()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// This test's own process, which nobody jailed, as if it were a VMM.
    pub(in super::super) fn unjailed() -> (tempfile::TempDir, Vmm) {
        let dir = tempfile::tempdir().unwrap();
        let run = RunDir::open(dir.path()).unwrap();
        let spec = MicroVmSpec {
            seat: SeatNo::try_from(1).unwrap(),
            slot: 1.try_into().unwrap(),
            incarnation: 1,
            epoch: 1,
            resources: clarateach_domain::microvm::Resources::DEFAULT,
            limits: clarateach_domain::limits::Asked::default(),
            seats_on_worker: 1,
            template: String::new(),
            env: std::collections::BTreeMap::default(),
            workshop_name: String::new(),
        };
        let root = dir.path().join("jails/firecracker/s1/root");
        fs::create_dir_all(&root).unwrap();
        let seen = Seen {
            pid: i32::try_from(std::process::id()).unwrap(),
            id: "s1".to_owned(),
            root,
        };
        (dir, Vmm { run, spec, seen })
    }

    #[test]
    fn a_process_with_two_ids_has_not_given_one_up() {
        assert_eq!(one_id("7\t7\t7\t7").unwrap(), 7);
        for bad in ["0\t7\t7\t7", "7\t7\t0\t7", "", "x"] {
            assert!(one_id(bad).is_err(), "{bad:?}");
        }
        let status = "Name:\tx\nUid:\t1\t1\t1\t1\nUidX:\t2\n";
        assert_eq!(field_of(status, "Uid").unwrap(), "1\t1\t1\t1");
        assert_eq!(field_of(status, "Gid"), None);
    }

    #[test]
    fn a_seat_that_is_not_there_is_said_and_nothing_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let seat = SeatNo::try_from(3).unwrap();
        let said = |path: &Path| format!("{:#}", Vmm::find(seat, path).err().unwrap());
        let wrong = dir.path().join("wrong");
        assert!(said(&wrong).contains("no agent's run directory"));
        assert!(!wrong.exists());
        let (there, mut vmm) = unjailed();
        assert!(said(there.path()).contains("no seat on this worker"));
        let seat_dir = vmm.dir();
        seat_dir.make().unwrap();
        seat_dir.write_spec(&vmm.spec).unwrap();
        assert!(said(there.path()).contains("it has 1"));
        vmm.spec.seat = seat;
        seat_dir.write_spec(&vmm.spec).unwrap();
        assert!(said(there.path()).contains("no MicroVM that lives"));
    }
}
