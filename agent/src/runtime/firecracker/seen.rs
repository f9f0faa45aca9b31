//! One live MicroVM as whoever only looks on may see it: its process, its jail
//! and its API.
//!
//! Way: run directory and slot -> the note that [`Jail::start`](super::jail::Jail)
//! left -> the process it still names -> `check/`.

use std::{fs, path::PathBuf};

use anyhow::Context as _;
use clarateach_domain::ids::Slot;

use super::{Inner, api::Api, jail};
use crate::rundir::RunDir;

/// A VMM that lives.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// On this host.
    pub(crate) pid: i32,
    /// Its jail's id.
    pub(crate) id: String,
    /// Its chroot, as this host has it.
    pub(crate) root: PathBuf,
}

impl Seen {
    /// The VMM of the slot, if one lives. Blocks.
    pub(crate) fn find(run: &RunDir, slot: Slot) -> anyhow::Result<Option<Self>> {
        let noted = jail::noted(&run.seat(slot).file("vmm.json"))?;
        let Some((name, _process)) = noted else {
            return Ok(None);
        };
        let id = Inner::name(slot);
        // Between them is the VMM's name, which only its agent was told.
        let programs = fs::read_dir(jails(run)).context("could not list the jails")?;
        for program in programs {
            let root = program?.path().join(&id).join("root");
            if root.is_dir() {
                let pid = name.pid;
                return Ok(Some(Self { pid, id, root }));
            }
        }
        anyhow::bail!("the VMM {} has no jail {id}", name.pid)
    }

    /// Its API.
    pub(crate) fn api(&self) -> Api {
        Api::at(&self.root.join(jail::API.trim_start_matches('/')))
    }
}

/// Where a run directory has its jails.
pub(crate) fn jails(run: &RunDir) -> PathBuf {
    run.path().join("jails")
}

/// The slot that a jail, or its cgroup, is named after; none for a template's.
pub(crate) fn slot_of(id: &str) -> Option<Slot> {
    id.strip_prefix('s')?.parse::<u32>().ok()?.try_into().ok()
}

/// Every thread of the process has its seccomp filter. Blocks.
pub(crate) fn filtered(pid: i32) -> anyhow::Result<()> {
    jail::filtered(pid)
}
