//! Templates: machines that were booted once, before they were anybody's, and
//! written to files from which any number is restored.
//!
//! Way: [`Parts::key`] -> [`Snapshots::find`], or a fresh one -> a paused VMM's
//! files -> [`Snapshots::keep`]. They are trusted input to the VMM: root's, and
//! checked against their sums before the first use.

use std::{
    collections::HashSet,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, ensure};
use clarateach_domain::microvm::Resources;
use ring::digest;
use serde::{Deserialize, Serialize};

use super::{
    super::{
        images::Disks,
        sums::{Sums, hex},
    },
    host::Host,
    recipe::{For, MEMORY, SEAT, STATE, template_boot_args},
};
use crate::rundir::gone;

/// Changes when what is kept changes.
const FORMAT: u32 = 3;
/// Read and written at a time; a piece of zeros becomes a hole.
const PIECE: usize = 64 * 1024;

/// A template's files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Snapshot {
    pub(super) state: PathBuf,
    pub(super) memory: PathBuf,
    /// The disk that its machine had mounted; None where it had none.
    pub(super) disk: Option<PathBuf>,
}

/// All that a snapshot depends on: any difference makes it another one.
#[derive(Debug, Serialize)]
pub(super) struct Parts {
    format: u32,
    firecracker: String,
    kernel: String,
    base: String,
    boot: String,
    boot_args: String,
    resources: Resources,
    processor: String,
    host: String,
}

impl Parts {
    /// Of a machine with these disks on this host, all checked. Blocks.
    pub(super) fn of(
        host: &Host,
        disks: &Disks,
        sums: &Sums,
        resources: Resources,
        made_for: For,
    ) -> anyhow::Result<Self> {
        let processor = fs::read_to_string("/proc/cpuinfo").context("could not read cpuinfo")?;
        let told = |line: &&str| {
            [
                "vendor_id",
                "cpu family",
                "model",
                "stepping",
                "microcode",
                "flags",
            ]
            .iter()
            .any(|name| line.starts_with(name))
        };
        let first = processor.split("\n\n").next().unwrap_or_default();
        Ok(Self {
            format: FORMAT,
            firecracker: host.version.clone(),
            kernel: sums.check_own(&host.kernel)?,
            base: sums.check(&disks.base)?,
            boot: sums.check(&disks.boot)?,
            boot_args: template_boot_args(host.virtualization, made_for),
            resources,
            processor: first.lines().filter(told).collect::<Vec<_>>().join("\n"),
            host: fs::read_to_string("/proc/sys/kernel/osrelease")
                .context("could not read the kernel's release")?,
        })
    }

    /// The name of the snapshot's folder.
    pub(super) fn key(&self) -> anyhow::Result<String> {
        let text = serde_json::to_vec(self)?;
        Ok(hex(&digest::digest(&digest::SHA256, &text))[..16].to_owned())
    }
}

/// What a snapshot's files must be.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Manifest {
    state: Sum,
    memory: Sum,
    disk: Option<Sum>,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
struct Sum {
    length: u64,
    sha256: String,
}

/// The folder of all snapshots, shared by the agents of a host.
#[derive(Debug)]
pub(super) struct Snapshots {
    folder: PathBuf,
    /// Folders whose files this agent has summed, by inode.
    checked: Mutex<HashSet<(String, u64)>>,
}

impl Snapshots {
    /// Opens the folder, made 0700 if it is missing.
    pub(super) fn open(folder: &Path) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .with_context(|| format!("could not make {}", folder.display()))?;
        let seen = fs::metadata(folder).context("could not look at the snapshots' folder")?;
        ensure!(
            seen.uid() == 0 && seen.mode() & 0o022 == 0,
            "{} must be root's and writable by nobody else: snapshots are trusted",
            folder.display()
        );
        Ok(Self {
            folder: folder.to_owned(),
            checked: Mutex::default(),
        })
    }

    /// Held by whoever makes the snapshot `key`; waits for another maker. Blocks.
    pub(super) fn lock(&self, key: &str) -> anyhow::Result<File> {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.folder.join(format!(".{key}.lock")))
            .context("could not open the snapshot's lock")?;
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive)
            .context("could not take the snapshot's lock")?;
        Ok(lock)
    }

    /// The snapshot, if it is there; an error names what is wrong with it. Blocks.
    pub(super) fn find(&self, key: &str) -> anyhow::Result<Option<Snapshot>> {
        let folder = self.folder.join(key);
        let Ok(manifest) = fs::read(folder.join("manifest.json")) else {
            return Ok(None);
        };
        let manifest: Manifest =
            serde_json::from_slice(&manifest).context("the snapshot's manifest is unreadable")?;
        let found = Snapshot {
            state: folder.join(STATE),
            memory: folder.join(MEMORY),
            disk: manifest.disk.is_some().then(|| folder.join(SEAT)),
        };
        let files = [
            (&found.state, &manifest.state),
            (&found.memory, &manifest.memory),
        ];
        for (path, wanted) in files
            .into_iter()
            .chain(found.disk.as_ref().zip(manifest.disk.as_ref()))
        {
            let seen = fs::metadata(path)
                .with_context(|| format!("the snapshot's {} is missing", path.display()))?;
            ensure!(
                seen.len() == wanted.length,
                "the snapshot's {} is truncated",
                path.display()
            );
            let mark = (format!("{key}/{}", wanted.sha256), seen.ino());
            if self.marks().contains(&mark) {
                continue;
            }
            let sum = sum(path).with_context(|| format!("could not sum {}", path.display()))?;
            ensure!(
                sum == *wanted,
                "the snapshot's {} is not what was written",
                path.display()
            );
            self.marks().insert(mark);
        }
        Ok(Some(found))
    }

    /// Takes over the files that a VMM wrote into its chroot, and the `disk` that its
    /// machine has mounted. Blocks.
    pub(super) fn keep(&self, key: &str, chroot: &Path, disk: Option<&Path>) -> anyhow::Result<()> {
        let fresh = self.folder.join(format!(".{key}.new"));
        gone(fs::remove_dir_all(&fresh)).context("could not remove a half-kept snapshot")?;
        DirBuilder::new()
            .mode(0o700)
            .create(&fresh)
            .context("could not make the snapshot's folder")?;
        let take = |from: &Path, name: &str| {
            copy(from, &fresh.join(name))
                .with_context(|| format!("could not keep the snapshot's {name}"))
        };
        let manifest = Manifest {
            state: take(&chroot.join(STATE), STATE)?,
            memory: take(&chroot.join(MEMORY), MEMORY)?,
            disk: disk.map(|disk| take(disk, SEAT)).transpose()?,
        };
        fs::write(fresh.join("manifest.json"), serde_json::to_vec(&manifest)?)
            .context("could not write the snapshot's manifest")?;
        self.discard(key)?;
        fs::rename(&fresh, self.folder.join(key)).context("could not name the snapshot")
    }

    /// Removes a snapshot that is of no use; machines that run from it keep it.
    pub(super) fn discard(&self, key: &str) -> anyhow::Result<()> {
        gone(fs::remove_dir_all(self.folder.join(key))).context("could not remove the snapshot")
    }

    fn marks(&self) -> std::sync::MutexGuard<'_, HashSet<(String, u64)>> {
        self.checked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Copies what is not zero and sums all of it.
fn copy(from: &Path, to: &Path) -> io::Result<Sum> {
    let mut from = File::open(from)?;
    let mut to = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o444)
        .open(to)?;
    let mut sums = digest::Context::new(&digest::SHA256);
    let mut length = 0_u64;
    let mut piece = vec![0; PIECE];
    let zeros = vec![0; PIECE];
    loop {
        let read = fill(&mut from, &mut piece)?;
        if read == 0 {
            break;
        }
        if piece[..read] == zeros[..read] {
            to.seek_relative(i64::try_from(read).map_err(io::Error::other)?)?;
        } else {
            to.write_all(&piece[..read])?;
            sums.update(&length.to_le_bytes());
            sums.update(&piece[..read]);
        }
        length += read as u64;
    }
    to.set_len(length)?;
    let sha256 = hex(&sums.finish());
    Ok(Sum { length, sha256 })
}

/// The sum of a file as [`copy`] has it: of pieces that are not zero, each with
/// its place. Holes are passed over.
fn sum(path: &Path) -> io::Result<Sum> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut sums = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; PIECE];
    let zeros = vec![0; PIECE];
    let step = PIECE as u64;
    let mut at = 0;
    while at < length {
        match rustix::fs::seek(&file, rustix::fs::SeekFrom::Data(at)) {
            Ok(data) => at = data / step * step,
            Err(rustix::io::Errno::NXIO) => break,
            Err(error) => return Err(error.into()),
        }
        file.seek(SeekFrom::Start(at))?;
        let read = fill(&mut file, &mut piece)?;
        if piece[..read] != zeros[..read] {
            sums.update(&at.to_le_bytes());
            sums.update(&piece[..read]);
        }
        at += step;
    }
    let sha256 = hex(&sums.finish());
    Ok(Sum { length, sha256 })
}

fn fill(file: &mut File, piece: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while read < piece.len() {
        match file.read(&mut piece[read..])? {
            0 => break,
            more => read += more,
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    type Spoil = fn(&Path);

    fn kept() -> (tempfile::TempDir, Snapshots) {
        let dir = tempfile::tempdir().unwrap();
        let snapshots = Snapshots::open(&dir.path().join("all")).unwrap();
        let mut memory = vec![0_u8; 5 * PIECE + 17];
        memory[2 * PIECE + 5] = 7;
        *memory.last_mut().unwrap() = 9;
        fs::write(dir.path().join(MEMORY), &memory).unwrap();
        fs::write(dir.path().join(STATE), b"state").unwrap();
        let disk = dir.path().join("disk.img");
        fs::write(&disk, b"disk").unwrap();
        snapshots.keep("k", dir.path(), Some(&disk)).unwrap();
        snapshots.keep("diskless", dir.path(), None).unwrap();
        (dir, snapshots)
    }

    #[test]
    fn a_snapshot_is_kept_whole_and_without_its_zeros() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: snapshots are root's");
            return;
        }
        let (dir, snapshots) = kept();
        let found = snapshots.find("k").unwrap().unwrap();
        assert_eq!(
            fs::read(&found.memory).unwrap(),
            fs::read(dir.path().join(MEMORY)).unwrap()
        );
        assert!(fs::metadata(&found.memory).unwrap().blocks() * 512 < 4 * PIECE as u64);
        assert_eq!(fs::read(found.disk.unwrap()).unwrap(), b"disk");
        assert_eq!(snapshots.find("diskless").unwrap().unwrap().disk, None);
        assert_eq!(snapshots.find("other").unwrap(), None);
        snapshots.discard("k").unwrap();
        assert_eq!(snapshots.find("k").unwrap(), None);
    }

    #[test]
    fn a_snapshot_that_was_touched_is_named_and_refused() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("SKIPPED: snapshots are root's");
            return;
        }
        let spoilt: [(&str, Spoil); 5] = [
            ("is truncated", |folder| {
                let file = OpenOptions::new()
                    .write(true)
                    .open(folder.join(MEMORY))
                    .unwrap();
                file.set_len(PIECE as u64).unwrap();
            }),
            ("is not what was written", |folder| {
                let mut file = OpenOptions::new()
                    .write(true)
                    .open(folder.join(MEMORY))
                    .unwrap();
                // In a hole, which a sum of the data alone would not see.
                file.seek(SeekFrom::Start(4 * PIECE as u64)).unwrap();
                file.write_all(&[1]).unwrap();
            }),
            ("is missing", |folder| {
                fs::remove_file(folder.join(STATE)).unwrap();
            }),
            ("is not what was written", |folder| {
                fs::remove_file(folder.join(SEAT)).unwrap();
                fs::write(folder.join(SEAT), b"dusk").unwrap();
            }),
            ("manifest is unreadable", |folder| {
                fs::write(folder.join("manifest.json"), "{").unwrap();
            }),
        ];
        for (what, spoil) in spoilt {
            let (dir, snapshots) = kept();
            spoil(&dir.path().join("all/k"));
            let refused = format!("{:#}", snapshots.find("k").unwrap_err());
            assert!(refused.contains(what), "{refused}");
        }
    }
}
