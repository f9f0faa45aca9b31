//! A tar stream from a seat becomes files below one folder of this machine, and
//! nowhere else, whatever its names and links say.
//!
//! Way: frames of a body -> [`feed`] -> a channel -> [`Stream`], read by a thread
//! -> [`unpack`]. Dropping the sender ends the thread, which leaves no half file.

use std::{
    ffi::OsStr,
    io::{self, Read},
    os::unix::ffi::OsStrExt,
    path::{Component, Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use bytes::{Buf, Bytes};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tar::{Archive, Entry, EntryType};
use tokio::sync::mpsc;

use super::{local::HALF, remote::silent};
use crate::{
    asking::fresh_id,
    failure::{Exit, Failure},
    progress::Meter,
};

/// Pieces ahead of a slow disk.
const AHEAD: usize = 8;

/// What a thread reads.
pub(crate) struct Stream {
    pieces: mpsc::Receiver<io::Result<Bytes>>,
    piece: Bytes,
}

/// The two ends.
pub(crate) fn stream() -> (mpsc::Sender<io::Result<Bytes>>, Stream) {
    let (sender, pieces) = mpsc::channel(AHEAD);
    let piece = Bytes::new();
    (sender, Stream { pieces, piece })
}

/// Hands a body over, whole; ends with the reader.
pub(crate) async fn feed(
    mut body: Incoming,
    to: mpsc::Sender<io::Result<Bytes>>,
    meter: &Meter,
) -> Result<(), Failure> {
    loop {
        let frame = silent(body.frame(), "the worker").await?;
        let Some(frame) = frame else {
            // An end that is meant: without it the reader must not take it for one.
            let _ = to.send(Ok(Bytes::new())).await;
            return Ok(());
        };
        let frame = frame.map_err(|error| {
            Failure::new(Exit::Unreachable, "the archive broke off").because(error)
        })?;
        if let Ok(bytes) = frame.into_data()
            && !bytes.is_empty()
        {
            meter.add(bytes.len());
            if to.send(Ok(bytes)).await.is_err() {
                return Ok(()); // the reader has said why
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.piece.is_empty() {
            self.piece = self
                .pieces
                .blocking_recv()
                .ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "it broke off"))??;
            if self.piece.is_empty() {
                self.pieces.close();
                return Ok(0);
            }
        }
        let length = buffer.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

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
fn leads_out(link: &Path, target: &Path) -> bool {
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

    use super::*;

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
