//! Which worker has which index on this host, and what follows from an index:
//! every kernel name, the subnet, the uids, the cgroup.
//!
//! One JSON file an index under a host-wide directory, guarded by a lock file,
//! so that several installations run side by side. The directory is on tmpfs: a
//! restart of the host takes it together with everything it names. What stays
//! are the workers' folders, each with its index: uids on its disks come from it.

use std::{
    collections::BTreeSet,
    fs::{self, File, OpenOptions},
    io::Write,
    net::Ipv4Addr,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clarateach_domain::ids::WorkerName;
use fs4::fs_std::FileExt;
use serde::{Deserialize, Serialize};

/// Workers on one host at a time. All their uids stay below 2^31: above, the kernel
/// ignores files' capabilities (seen: `ping` in a seat).
const INDICES: u32 = 140;
/// Uids of a host's workers start here, above what distributions hand out.
const UID_BASE: u32 = 300_000_000;
/// Uids of one worker: 200 slots of 65,536.
const UIDS: u32 = 200 * 65_536;

/// One worker's place on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Allocation {
    /// Which of the host's workers this is.
    pub(super) index: u32,
    /// Whose it is.
    pub(super) installation: String,
    /// Where that installation lives: for people who wonder.
    pub(super) data_dir: PathBuf,
    /// Its name.
    pub(super) worker: WorkerName,
    /// First address of the network its /30 is cut from.
    pub(super) subnet: Ipv4Addr,
    /// Being removed.
    pub(super) ending: bool,
}

impl Allocation {
    /// The name of its network namespace.
    pub(super) fn netns(&self) -> String {
        format!("ct-w{}", self.index)
    }

    /// Where its network namespace is kept.
    pub(super) fn netns_path(&self) -> PathBuf {
        Path::new("/run/netns").join(self.netns())
    }

    /// The host's end of the uplink.
    pub(super) fn veth(&self) -> String {
        format!("ctu{}", self.index)
    }

    /// Its /30.
    pub(super) fn network(&self) -> String {
        let first = Ipv4Addr::from_bits(self.subnet.to_bits() + 4 * self.index);
        format!("{first}/30")
    }

    /// The host's address on the uplink.
    pub(super) fn gateway(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.subnet.to_bits() + 4 * self.index + 1)
    }

    /// The worker's own address.
    pub(super) fn address(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.subnet.to_bits() + 4 * self.index + 2)
    }

    /// First uid of its slots: slot n has `uid_base + n * 65536` and on.
    pub(super) fn uid_base(&self) -> u32 {
        UID_BASE + self.index * UIDS
    }

    /// Every uid that only its seats have.
    pub(super) fn uids(&self) -> std::ops::Range<u32> {
        let first = self.uid_base() + 65_536;
        first..first + UIDS
    }

    /// The parent cgroup of its seats, in every hierarchy.
    pub(super) fn cgroup(&self) -> String {
        format!("clarateach/w{}", self.index)
    }
}

/// What an installation's folders say of its places.
#[derive(Debug, Clone, Default)]
pub(super) struct Had {
    /// The worker's own, and whether it may have no other: disks were made there.
    pub(super) own: Option<(u32, bool)>,
    /// Those of the installation's other workers.
    pub(super) others: BTreeSet<u32>,
}

/// All allocations of the host.
pub(super) struct Allocations {
    dir: PathBuf,
}

/// Held while kernel names are taken or given back.
pub(super) struct Lock(#[allow(dead_code, reason = "unlocks when dropped")] File);

impl Allocations {
    pub(super) fn open(dir: &Path) -> anyhow::Result<Self> {
        fs::create_dir_all(dir)
            .with_context(|| format!("could not make {} (root is needed)", dir.display()))?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// Waits for its turn.
    pub(super) fn lock(&self) -> anyhow::Result<Lock> {
        let path = self.dir.join("lock");
        let open = || -> std::io::Result<File> {
            let file = OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(&path)?;
            file.lock_exclusive()?;
            self.clear_halves()?;
            Ok(file)
        };
        open()
            .map(Lock)
            .with_context(|| format!("could not lock {}", path.display()))
    }

    /// Removes allocations that a process was killed over while it wrote them: they are
    /// written under the lock alone.
    fn clear_halves(&self) -> std::io::Result<()> {
        for entry in fs::read_dir(&self.dir)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let index = name.split('.').next().unwrap_or_default();
            if name.ends_with(".new") && index.parse::<u32>().is_ok() {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// The worker's place: the one it has, the one it had, or the lowest free one
    /// that no other worker of the installation had.
    pub(super) fn claim(
        &self,
        had: &Had,
        of: impl Fn(u32) -> Allocation,
    ) -> anyhow::Result<Allocation> {
        let _lock = self.lock()?;
        let wanted = of(0);
        if let Some(have) = self.find(&wanted.installation, &wanted.worker)? {
            return Ok(have);
        }
        let own = had.own.map(|(index, _)| index);
        let fresh = |index: &u32| !had.others.contains(index);
        for index in own.into_iter().chain((0..INDICES).filter(fresh)) {
            let place = of(index);
            if index < INDICES && self.is_free(&place) {
                self.save(&place)?;
                return Ok(place);
            }
            if had.own == Some((index, true)) {
                bail!(
                    "place {index} of this host, whose uids the disks of {} have, is taken{}: \
                     remove what has it, and the worker comes back by itself",
                    wanted.worker,
                    self.whose(index)
                );
            }
        }
        bail!("all {INDICES} places for workers on this host are taken");
    }

    fn is_free(&self, place: &Allocation) -> bool {
        // Names that others took without asking are theirs.
        let foreign =
            place.netns_path().exists() || Path::new("/sys/class/net").join(place.veth()).exists();
        !self.path(place.index).exists() && !foreign
    }

    /// For people.
    fn whose(&self, index: u32) -> String {
        let text = fs::read(self.path(index)).unwrap_or_default();
        serde_json::from_slice(&text).map_or_else(
            |_| String::new(),
            |place: Allocation| format!(" by {} of {}", place.worker, place.data_dir.display()),
        )
    }

    /// Writes a place, whole or not at all.
    pub(super) fn save(&self, place: &Allocation) -> anyhow::Result<()> {
        write_whole(&self.path(place.index), &serde_json::to_vec_pretty(place)?)
    }

    /// Gives a place back; true when the host has none left. The caller holds
    /// the lock.
    pub(super) fn remove(&self, place: &Allocation) -> anyhow::Result<bool> {
        match fs::remove_file(self.path(place.index)) {
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => {}
            done => done.context("could not give the worker's place back")?,
        }
        Ok(self.all()?.is_empty())
    }

    /// One worker's place.
    pub(super) fn find(
        &self,
        installation: &str,
        worker: &WorkerName,
    ) -> anyhow::Result<Option<Allocation>> {
        let mine = self.of(installation)?;
        Ok(mine.into_iter().find(|place| &place.worker == worker))
    }

    /// The places of one installation.
    pub(super) fn of(&self, installation: &str) -> anyhow::Result<Vec<Allocation>> {
        let mut all = self.all()?;
        all.retain(|place| place.installation == installation);
        Ok(all)
    }

    fn all(&self) -> anyhow::Result<Vec<Allocation>> {
        let mut all = Vec::new();
        for index in 0..INDICES {
            match fs::read(self.path(index)) {
                Ok(text) => all.push(serde_json::from_slice(&text).with_context(|| {
                    format!(
                        "could not read the allocation {}",
                        self.path(index).display()
                    )
                })?),
                Err(none) if none.kind() == std::io::ErrorKind::NotFound => {}
                Err(cause) => return Err(cause).context("could not read the allocations"),
            }
        }
        Ok(all)
    }

    fn path(&self, index: u32) -> PathBuf {
        self.dir.join(format!("{index}.json"))
    }
}

/// Writes a file so that readers and restarts see all of it or none.
pub(super) fn write_whole(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file = File::create(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().with_context(|| format!("could not write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(index: u32, installation: &str) -> Allocation {
        Allocation {
            index,
            installation: installation.into(),
            data_dir: "/x".into(),
            worker: "ws-abcdefghij-w1".parse().unwrap(),
            subnet: "10.213.0.0".parse().unwrap(),
            ending: false,
        }
    }

    #[test]
    fn what_was_half_written_goes_with_the_next_lock() {
        let dir = tempfile::tempdir().unwrap();
        let all = Allocations::open(dir.path()).unwrap();
        for name in ["7.123.new", "7.json", "ip_forward.9.new"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        let _lock = all.lock().unwrap();
        let there = |name: &str| dir.path().join(name).exists();
        assert!(!there("7.123.new"));
        assert!(there("7.json") && there("ip_forward.9.new"));
    }

    #[test]
    fn places_never_meet() {
        let last = place(INDICES - 1, "a");
        assert!(last.uids().end <= 1 << 31);
        assert_eq!(last.address().to_string(), "10.213.2.46");
        for index in 1..INDICES {
            let (one, two) = (place(index - 1, "a"), place(index, "a"));
            assert!(one.uids().end <= two.uids().start);
            assert!(one.address() < two.gateway());
        }
    }

    #[test]
    fn two_installations_with_the_same_worker_name_get_two_places() {
        let dir = tempfile::tempdir().unwrap();
        let all = Allocations::open(dir.path()).unwrap();
        let claim = |who: &str| {
            let place = all.claim(&Had::default(), |index| place(index, who));
            place.unwrap().index
        };
        let (a, b) = (claim("a"), claim("b"));
        assert_ne!(a, b);
        assert_eq!(claim("a"), a, "asked again, the same");
        assert!(!all.remove(&place(a, "a")).unwrap());
        assert!(all.remove(&place(b, "b")).unwrap(), "the last one");
        assert!(all.remove(&place(b, "b")).unwrap(), "gone is gone");
    }

    #[test]
    fn after_a_restart_of_the_host_a_worker_has_the_place_it_had() {
        // Low places may be taken on this host, in truth.
        for (own, others, taken, want) in [
            (None, &[][..], None, Ok(None)),
            (Some((137, true)), &[], None, Ok(Some(137))),
            (Some((137, false)), &[], None, Ok(Some(137))),
            // Another installation was faster.
            (Some((137, true)), &[], Some(137), Err("w1 of /x")),
            (Some((137, false)), &[], Some(137), Ok(None)),
            (Some((INDICES, true)), &[], None, Err("is taken")),
            // Those of workers that are still to come back are not new ones'.
            (None, &[0, 1, 2, 3], None, Ok(None)),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let all = Allocations::open(dir.path()).unwrap();
            if let Some(index) = taken {
                all.save(&place(index, "b")).unwrap();
            }
            let had = Had {
                own,
                others: others.iter().copied().collect(),
            };
            let got = all.claim(&had, |index| place(index, "a"));
            match (got, want) {
                (Ok(got), Ok(want)) => {
                    assert!(
                        want.is_none_or(|want| want == got.index),
                        "{had:?}: {got:?}"
                    );
                    assert!(!others.contains(&got.index), "{had:?}: {got:?}");
                    assert_ne!(Some(got.index), taken, "{had:?}");
                }
                (Err(refused), Err(why)) => {
                    assert!(refused.to_string().contains(why), "{refused}");
                }
                (got, _) => panic!("{had:?} {taken:?}: {got:?}"),
            }
        }
    }
}
