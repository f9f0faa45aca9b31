//! Whether the large files that all MicroVMs share are what was built: `FILE`
//! against the sha256 that its builder wrote into `FILE.sha256`.
//!
//! Way: a file's mark in its file system -> the sum noted for that mark, or all
//! of it read once -> refused, or its sum for whoever depends on it. A file that
//! was truncated or written to has another mark; what was read once is noted for
//! the next agent, so that a start costs a look and not seconds.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, ensure};
use ring::digest::{self, Digest};
use serde::{Deserialize, Serialize};
use tracing::debug;

use crate::rundir::replace;

/// Read at a time.
const PIECE: usize = 1024 * 1024;

/// The sums of the files in a folder of images.
#[derive(Debug)]
pub(super) struct Sums {
    /// What is noted for the next agent, root's alone.
    notes: PathBuf,
    known: Mutex<BTreeMap<PathBuf, Known>>,
}

/// A file's sum, and by what is told that it is still that file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    mark: Mark,
    sha256: String,
}

/// Changes whenever a file's content does. Its last member cannot be set by
/// anybody, only passed by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Mark {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Mark {
    fn of(file: &File) -> io::Result<Self> {
        let seen = file.metadata()?;
        Ok(Self {
            device: seen.dev(),
            inode: seen.ino(),
            length: seen.len(),
            modified: (seen.mtime(), seen.mtime_nsec()),
            changed: (seen.ctime(), seen.ctime_nsec()),
        })
    }
}

impl Sums {
    /// Takes over what an earlier agent noted in the folder.
    pub(super) fn of(images: &Path) -> Self {
        let notes = images.join(".sums.json");
        // Unreadable notes cost time and nothing else.
        let known = fs::read(&notes)
            .ok()
            .and_then(|text| serde_json::from_slice(&text).ok())
            .unwrap_or_default();
        Self {
            notes,
            known: Mutex::new(known),
        }
    }

    /// The sha256 of an image, in hex; an error names a file that is not what
    /// was built. Blocks, for seconds when a file is seen for the first time.
    pub(super) fn check(&self, image: &Path) -> anyhow::Result<String> {
        let beside = beside(image);
        let text = fs::read_to_string(&beside).with_context(|| {
            format!(
                "{} has no sum beside it: scripts/build-guest.sh writes it",
                image.display()
            )
        })?;
        let wanted = text.split_whitespace().next().unwrap_or_default();
        ensure!(
            wanted.len() == 64 && wanted.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{} holds no sha256",
            beside.display()
        );
        let sum = self.sum(image)?;
        ensure!(
            sum == wanted,
            "{} is damaged or truncated: its sha256 is {sum} and was {wanted} when it was built; \
             remove it, and scripts/build-guest.sh makes it anew",
            image.display()
        );
        Ok(sum)
    }

    /// As [`Sums::check`], for a file that an operator named: it need not have a
    /// sum beside it.
    pub(super) fn check_own(&self, file: &Path) -> anyhow::Result<String> {
        if beside(file).exists() {
            self.check(file)
        } else {
            self.sum(file)
        }
    }

    fn sum(&self, path: &Path) -> anyhow::Result<String> {
        let at = || path.display();
        let mut file = File::open(path).with_context(|| format!("could not open {}", at()))?;
        let mark = Mark::of(&file).with_context(|| format!("could not look at {}", at()))?;
        if let Some(known) = self.known().get(path).filter(|known| known.mark == mark) {
            return Ok(known.sha256.clone());
        }
        let sha256 = sum(&mut file).with_context(|| format!("could not read {}", at()))?;
        let after = Mark::of(&file).with_context(|| format!("could not look at {}", at()))?;
        ensure!(mark == after, "{} changed while it was read", at());
        let noted = {
            let mut known = self.known();
            let sha256 = sha256.clone();
            known.insert(path.to_owned(), Known { mark, sha256 });
            known.retain(|path, _sum| path.exists());
            serde_json::to_vec(&*known).map_err(io::Error::other)
        };
        if let Err(error) = noted.and_then(|text| replace(&self.notes, &text, false)) {
            debug!(%error, "sums were not noted: the next agent reads the files again");
        }
        Ok(sha256)
    }

    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<PathBuf, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a file's sum is, as `sha256sum -c` reads it.
fn beside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".sha256");
    name.into()
}

fn sum(file: &mut File) -> io::Result<String> {
    let mut sums = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; PIECE];
    loop {
        match file.read(&mut piece) {
            Ok(0) => return Ok(hex(&sums.finish())),
            Ok(read) => sums.update(&piece[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A digest as it is written.
pub(super) fn hex(digest: &Digest) -> String {
    use std::fmt::Write as _;
    let bytes = digest.as_ref();
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;

    use super::*;

    fn image(dir: &Path) -> PathBuf {
        let image = dir.join("base-aa.ext4");
        fs::write(&image, vec![7; PIECE + 17]).unwrap();
        let sum = sum(&mut File::open(&image).unwrap()).unwrap();
        fs::write(beside(&image), format!("{sum}  base-aa.ext4\n")).unwrap();
        image
    }

    #[test]
    fn an_image_that_is_not_what_was_built_is_named_and_refused() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path());
        let sums = Sums::of(dir.path());
        assert_eq!(sums.check(&image).unwrap().len(), 64);
        let truncated = OpenOptions::new().write(true).open(&image).unwrap();
        truncated.set_len(PIECE as u64).unwrap();
        let refused = format!("{:#}", sums.check(&image).unwrap_err());
        assert!(
            refused.contains("base-aa.ext4 is damaged or truncated"),
            "{refused}"
        );
        // The same length again, and not the same bytes.
        truncated.set_len(PIECE as u64 + 17).unwrap();
        assert!(sums.check(&image).is_err());
        fs::write(&image, vec![7; PIECE + 17]).unwrap();
        assert!(sums.check(&image).is_ok());
        for (text, why) in [("", "holds no sha256"), ("ff  x", "holds no sha256")] {
            fs::write(beside(&image), text).unwrap();
            let refused = format!("{:#}", sums.check(&image).unwrap_err());
            assert!(refused.contains(why), "{refused}");
        }
        fs::remove_file(beside(&image)).unwrap();
        let refused = format!("{:#}", sums.check(&image).unwrap_err());
        assert!(refused.contains("has no sum beside it"), "{refused}");
        assert!(sums.check_own(&image).is_ok(), "an operator's own");
    }

    #[test]
    fn the_next_agent_reads_a_large_file_only_if_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let image = image(dir.path());
        let sum = Sums::of(dir.path()).check(&image).unwrap();
        // Notes that lie tell whether the file was read.
        let notes = dir.path().join(".sums.json");
        let lie = fs::read_to_string(&notes)
            .unwrap()
            .replace(&sum, &"0".repeat(64));
        fs::write(&notes, &lie).unwrap();
        assert!(Sums::of(dir.path()).check(&image).is_err(), "it was read");
        File::open(&image)
            .unwrap()
            .set_modified(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        assert_eq!(Sums::of(dir.path()).check(&image).unwrap(), sum);
        fs::write(&notes, "{").unwrap();
        assert_eq!(Sums::of(dir.path()).check(&image).unwrap(), sum);
    }
}
