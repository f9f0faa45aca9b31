//! Files of this machine: one that appears only when it is whole, and what a
//! folder holds.

use std::{
    fs, io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use tempfile::NamedTempFile;

use super::path::RemotePath;
use crate::failure::Failure;

/// What half made files are called, so that a person knows whose they are.
pub(crate) const HALF: &str = ".clarateach-download-";

/// A file that is being made beside its name. Dropped, it leaves nothing.
pub(crate) struct Half {
    file: NamedTempFile,
    target: PathBuf,
}

impl Half {
    pub(crate) fn begin(target: &Path) -> Result<Self, Failure> {
        let dir = match target.parent() {
            Some(dir) if dir != Path::new("") => dir,
            _ => Path::new("."),
        };
        let file = tempfile::Builder::new()
            .prefix(HALF)
            // What the umask leaves of it, as for any new file.
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(dir)
            .map_err(|error| writing(target, error))?;
        Ok(Self {
            file,
            target: target.to_owned(),
        })
    }

    /// To write to.
    pub(crate) fn handle(&self) -> Result<tokio::fs::File, Failure> {
        let file = self.file.reopen();
        Ok(tokio::fs::File::from_std(
            file.map_err(|error| self.failed(error))?,
        ))
    }

    /// The whole file is there: on disk, then under its name.
    pub(crate) fn finish(self, modified: Option<SystemTime>) -> Result<(), Failure> {
        let Self { file, target } = self;
        let written = || {
            if let Some(modified) = modified {
                file.as_file().set_modified(modified)?;
            }
            file.as_file().sync_all()
        };
        written().map_err(|error| writing(&target, error))?;
        file.persist(&target)
            .map_err(|error| writing(&target, error.error))?;
        Ok(())
    }

    /// What a failed write means.
    pub(crate) fn failed(&self, error: io::Error) -> Failure {
        writing(&self.target, error)
    }
}

pub(crate) fn writing(target: &Path, error: io::Error) -> Failure {
    Failure::io(format!("could not write {}", target.display()), error)
}

pub(crate) fn reading(file: &Path, error: io::Error) -> Failure {
    Failure::io(format!("could not read {}", file.display()), error)
}

/// One file of a folder here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LocalFile {
    pub(crate) file: PathBuf,
    pub(crate) size: u64,
    pub(crate) modified: SystemTime,
}

/// What a folder here holds. Links and what is no file are named, not followed.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    pub(crate) folders: Vec<RemotePath>,
    pub(crate) files: Vec<(RemotePath, LocalFile)>,
    pub(crate) left_out: Vec<PathBuf>,
}

/// Everything below `root`, said as what it is below `to`.
pub(crate) fn walk(root: &Path, to: &RemotePath) -> Result<Walked, Failure> {
    let mut walked = Walked::default();
    let mut open = vec![(root.to_owned(), to.clone())];
    while let Some((folder, at)) = open.pop() {
        let failed = |error| reading(&folder, error);
        for entry in fs::read_dir(&folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(HALF) {
                continue;
            }
            let file = entry.path();
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                // Gone meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(reading(&file, error)),
            };
            let at = at.join(&name);
            if metadata.is_dir() {
                walked.folders.push(at.clone());
                open.push((file, at));
            } else if metadata.is_file() {
                let found = LocalFile {
                    size: metadata.len(),
                    modified: metadata.modified().map_err(failed)?,
                    file,
                };
                walked.files.push((at, found));
            } else {
                walked.left_out.push(file);
            }
        }
    }
    // A folder before what is in it.
    walked.folders.sort();
    walked.files.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(walked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_half_made_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("x");
        drop(Half::begin(&target).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        fs::write(&target, "old").unwrap();
        let half = Half::begin(&target).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"old");
        half.finish(None).unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_are_named_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("a/b")).unwrap();
        fs::write(dir.path().join("a/b/f"), "12").unwrap();
        fs::write(dir.path().join(format!("{HALF}x")), "").unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("a/link")).unwrap();
        let walked = walk(dir.path(), &RemotePath::default()).unwrap();
        let shown = |path: &RemotePath| path.encoded();
        assert_eq!(
            walked.folders.iter().map(shown).collect::<Vec<_>>(),
            ["/a", "/a/b"]
        );
        let files: Vec<_> = walked
            .files
            .iter()
            .map(|(at, f)| (shown(at), f.size))
            .collect();
        assert_eq!(files, [("/a/b/f".to_owned(), 2)]);
        assert_eq!(walked.left_out, [dir.path().join("a/link")]);
    }
}
