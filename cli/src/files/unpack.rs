//! A tar stream from a seat becomes files below one folder of this machine, and
//! nowhere else, whatever its names and links say.
//!
//! Way: a stream (`pipe`), read by a thread -> [`unpack`] -> each file beside its
//! name, then under it; links last.

use std::{
    ffi::OsStr,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use tar::{Archive, Entry, EntryType};

use super::local::HALF;
use crate::asking::fresh_id;

/// What came of an archive.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unpacked {
    pub(crate) files: usize,
    /// Names that would have led elsewhere, or that are no files.
    pub(crate) left_out: Vec<String>,
}

/// Everything of the archive's one root, below `to`.
pub(crate) fn unpack(from: impl Read, to: &Path) -> io::Result<Unpacked> {
    let dir = Dir::open_ambient_dir(to, cap_std::ambient_authority())?;
    let mut unpacked = Unpacked::default();
    let mut links = Vec::new();
    let mut archive = Archive::new(from);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let raw = entry.path_bytes().into_owned();
        let Some(path) = below_root(&raw) else {
            unpacked
                .left_out
                .push(String::from_utf8_lossy(&raw).into_owned());
            continue;
        };
        match entry.header().entry_type() {
            EntryType::Directory => dir.create_dir_all(&path)?,
            EntryType::Regular | EntryType::Continuous => {
                write(&dir, &path, &mut entry)?;
                unpacked.files += 1;
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                links.push((path, PathBuf::from(OsStr::from_bytes(&target))));
            }
            _ => unpacked.left_out.push(path.display().to_string()),
        }
    }
    // Last, so that no file of this archive is written through one.
    for (path, target) in links {
        if leads_out(&path, &target) || dir.symlink(&target, &path).is_err() {
            unpacked.left_out.push(path.display().to_string());
        }
    }
    Ok(unpacked)
}

/// Beside its name first, then under it.
fn write(dir: &Dir, path: &Path, entry: &mut Entry<'_, impl Read>) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new(""));
    if parent != Path::new("") {
        dir.create_dir_all(parent)?;
    }
    let half = Half {
        dir,
        path: parent.join(format!("{HALF}{}", &fresh_id()[..12])),
    };
    let size = entry.header().entry_size()?;
    // A program stays one; the umask has the last word.
    let mode = 0o666 | (entry.header().mode().unwrap_or(0) & 0o111);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let mut file = dir.open_with(&half.path, &options)?;
    if io::copy(entry, &mut file)? != size {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it broke off"));
    }
    let modified = UNIX_EPOCH + Duration::from_secs(entry.header().mtime().unwrap_or(0));
    file.into_std().set_modified(modified)?;
    dir.rename(&half.path, dir, path)
}

/// Gone when dropped; after a rename there is nothing to remove.
struct Half<'d> {
    dir: &'d Dir,
    path: PathBuf,
}

impl Drop for Half<'_> {
    fn drop(&mut self) {
        let _ = self.dir.remove_file(&self.path);
    }
}

/// A name without the archive's root; `None` if it leads out, or is the root. Pure.
pub(crate) fn below_root(raw: &[u8]) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(raw));
    let mut parts = path.components();
    if !matches!(parts.next(), Some(Component::Normal(_))) {
        return None;
    }
    let rest = parts.as_path();
    let plain = rest
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    (plain && rest != Path::new("")).then(|| rest.to_owned())
}

/// Whether a link would point outside, by its words alone. Pure.
pub(crate) fn leads_out(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir => match depth.checked_sub(1) {
                Some(less) => depth = less,
                None => return true,
            },
            Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs};

    use bytes::Bytes;

    use super::*;
    use crate::files::pipe::stream;

    fn header(kind: EntryType, size: usize) -> tar::Header {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size as u64);
        header.set_mode(0o644);
        header.set_mtime(1_000_000_000);
        header
    }

    /// A file under exactly these bytes, which tar's own builder would refuse.
    fn raw(builder: &mut tar::Builder<Vec<u8>>, name: &[u8], content: &[u8]) {
        let mut header = header(EntryType::Regular, content.len());
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        builder.append(&header, content).unwrap();
    }

    #[test]
    fn nothing_is_written_outside() {
        let around = tempfile::tempdir().unwrap();
        let to = around.path().join("to");
        fs::create_dir(&to).unwrap();
        fs::write(around.path().join("victim"), "old").unwrap();
        std::os::unix::fs::symlink("..", to.join("old-link")).unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        raw(&mut builder, b"w/good/\xff\xfe name", b"12");
        raw(&mut builder, b"w/../victim", b"new");
        raw(&mut builder, b"/victim", b"new");
        raw(&mut builder, b"../victim", b"new");
        raw(&mut builder, b"w", b"new");
        for (name, target) in [
            ("w/inside", "good"),
            ("w/out", "../victim"),
            ("w/abs", "/etc"),
        ] {
            let mut header = header(EntryType::Symlink, 0);
            builder.append_link(&mut header, name, target).unwrap();
        }
        raw(&mut builder, b"w/inside2", b"3");
        let archive = builder.into_inner().unwrap();
        let unpacked = unpack(&archive[..], &to).unwrap();
        assert_eq!(unpacked.files, 2);
        assert_eq!(unpacked.left_out.len(), 6, "{:?}", unpacked.left_out);
        assert_eq!(fs::read(around.path().join("victim")).unwrap(), b"old");
        assert_eq!(fs::read_link(to.join("inside")).unwrap(), Path::new("good"));
        assert!(!to.join("out").exists() && fs::symlink_metadata(to.join("abs")).is_err());
        let name = OsStr::from_bytes(b"\xff\xfe name");
        assert_eq!(fs::read(to.join("good").join(name)).unwrap(), b"12");

        // A link that was there before leads no file out either.
        let mut builder = tar::Builder::new(Vec::new());
        raw(&mut builder, b"w/old-link/victim", b"new");
        let archive = builder.into_inner().unwrap();
        assert!(unpack(&archive[..], &to).is_err());
        assert_eq!(fs::read(around.path().join("victim")).unwrap(), b"old");
    }

    #[test]
    fn a_stream_that_breaks_off_leaves_whole_files_only() {
        let mut builder = tar::Builder::new(Vec::new());
        raw(&mut builder, b"w/a", &[7; 600]);
        raw(&mut builder, b"w/b", &[8; 600]);
        let archive = builder.into_inner().unwrap();
        for cut in [0, 100, 512, 700, 1600, 2000, 2500] {
            let to = tempfile::tempdir().unwrap();
            let (sender, stream) = stream();
            sender
                .try_send(Ok(Bytes::copy_from_slice(&archive[..cut.max(1)])))
                .unwrap();
            drop(sender);
            assert!(unpack(stream, to.path()).is_err(), "{cut}");
            let left: BTreeMap<_, _> = fs::read_dir(to.path())
                .unwrap()
                .map(|entry| entry.unwrap())
                .map(|entry| (entry.file_name(), entry.metadata().unwrap().len()))
                .collect();
            assert!(left.values().all(|size| *size == 600), "{cut}: {left:?}");
            assert!(
                !left
                    .keys()
                    .any(|name| name.to_string_lossy().starts_with(HALF))
            );
        }
    }

    #[test]
    fn links_are_judged_by_their_words() {
        for (link, target, out) in [
            ("a", "b", false),
            ("d/a", "../b", false),
            ("a", "..", true),
            ("d/a", "../../b", true),
            ("a", "/etc", true),
            ("a", "b/../../c", true),
        ] {
            assert_eq!(
                leads_out(Path::new(link), Path::new(target)),
                out,
                "{link} {target}"
            );
        }
    }
}
