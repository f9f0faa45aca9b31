//! A folder as one tar stream, made while it is sent.
//!
//! Links are packed as links and never followed; what is neither file, folder
//! nor link is left out. A file that changes while it is packed keeps the
//! length its header says.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use bytes::Bytes;
use cap_std::fs::{Dir, Metadata, MetadataExt as _};
use tar::{Builder, EntryType, Header};
use tokio::sync::mpsc;
use tracing::debug;

use super::{file, workspace::is_upload};

/// In one piece to the socket.
const PIECE: usize = 128 * 1024;
/// Pieces ahead of a slow reader.
const AHEAD: usize = 2;
/// A folder within a folder within …: each level holds one open.
const DEEPEST: usize = 256;

/// The stream. An error in it means that the archive is not whole.
pub(crate) fn stream(dir: Dir, root: PathBuf) -> mpsc::Receiver<io::Result<Bytes>> {
    let (pieces, stream) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let sink = Pieces {
            pieces: pieces.clone(),
            piece: Vec::with_capacity(PIECE),
        };
        let mut builder = Builder::new(sink);
        let packed = pack(&mut builder, &dir, &root, 0)
            .and_then(|()| builder.into_inner())
            .and_then(|mut sink| sink.flush());
        if let Err(cause) = packed {
            debug!(%cause, "archive ended early");
            pieces.blocking_send(Err(cause)).ok();
        }
    });
    stream
}

fn pack(builder: &mut Builder<Pieces>, dir: &Dir, within: &Path, depth: usize) -> io::Result<()> {
    if depth > DEEPEST {
        return Err(io::Error::other("folders lie too deep"));
    }
    for entry in dir.entries()? {
        let name = entry?.file_name();
        if is_upload(&name) {
            continue;
        }
        let path = within.join(&name);
        // Gone meanwhile: not in the archive.
        let Ok(meta) = dir.symlink_metadata(&name) else {
            continue;
        };
        let mut header = header(&meta);
        if meta.is_dir() {
            let Ok(inner) = dir.open_dir(&name) else {
                continue; // one the learner may not read
            };
            header.set_entry_type(EntryType::Directory);
            builder.append_data(&mut header, &path, io::empty())?;
            pack(builder, &inner, &path, depth + 1)?;
        } else if meta.is_symlink() {
            let Ok(target) = dir.read_link_contents(&name) else {
                continue;
            };
            header.set_entry_type(EntryType::Symlink);
            builder.append_link(&mut header, &path, target)?;
        } else if meta.is_file() {
            let Ok(file) = file::open(dir, Path::new(&name)) else {
                continue;
            };
            header.set_entry_type(EntryType::Regular);
            header.set_size(meta.len());
            let exact = Exact {
                file,
                left: meta.len(),
            };
            builder.append_data(&mut header, &path, exact)?;
        }
    }
    Ok(())
}

fn header(meta: &Metadata) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(meta.mode() & 0o7777);
    header.set_uid(meta.uid().into());
    header.set_gid(meta.gid().into());
    header.set_mtime(u64::try_from(meta.mtime()).unwrap_or(0));
    header.set_size(0);
    header
}

/// Exactly so many bytes of a file, zeros for what was cut off meanwhile.
struct Exact {
    file: std::fs::File,
    left: u64,
}

impl Read for Exact {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        if most == 0 {
            return Ok(0);
        }
        let mut length = self.file.read(&mut buffer[..most])?;
        if length == 0 {
            buffer[..most].fill(0);
            length = most;
        }
        self.left -= length as u64;
        Ok(length)
    }
}

/// Gathers what is written and hands it over in pieces.
struct Pieces {
    pieces: mpsc::Sender<io::Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(PIECE - self.piece.len());
        self.piece.extend_from_slice(&bytes[..length]);
        if self.piece.len() == PIECE {
            self.flush()?;
        }
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE));
        self.pieces
            .blocking_send(Ok(piece.into()))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
