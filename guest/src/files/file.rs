//! One open file of one request.
//!
//! An upload goes into a temporary file beside its goal and takes its place in
//! one step when all of it is there; until then, and if it never is, the old
//! file stays as it was.

use std::{
    ffi::OsString,
    fs::{File, Permissions},
    io::{self, Seek as _, SeekFrom, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use bytes::{Buf, Bytes};
use cap_std::fs::{Dir, Metadata, MetadataExt as _, OpenOptions, OpenOptionsExt as _};
use dav_server::fs::{DavFile, DavMetaData, FsFuture, FsResult};
use rustix::fs::{OFlags, RenameFlags};

use super::{
    meta::Meta,
    props,
    workspace::{UPLOAD_PREFIX, dav_error, split},
};
use crate::seat::random_id;

/// A device or a pipe in the workspace must not stall its opener.
const NO_WAIT: i32 = OFlags::NONBLOCK.bits().cast_signed();

/// An open file.
#[derive(Debug)]
pub(crate) struct OpenFile {
    file: File,
    upload: Option<Upload>,
}

/// Opens a regular file or a folder to read; nothing else is served.
pub(crate) fn open(dir: &Dir, path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(NO_WAIT);
    let file = dir.open_with(path, &options)?;
    let meta = file.metadata()?;
    if !meta.is_file() && !meta.is_dir() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(file.into_std())
}

impl OpenFile {
    /// To read.
    pub(crate) fn read(dir: &Dir, path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: open(dir, path)?,
            upload: None,
        })
    }

    /// To write in place: parts of a file, or an empty one for a lock.
    pub(crate) fn in_place(
        dir: &Dir,
        path: &Path,
        append: bool,
        create: bool,
        new: bool,
    ) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.append(append).custom_flags(NO_WAIT);
        if !append {
            options.write(true);
        }
        if new {
            options.create_new(true);
        } else {
            options.create(create);
        }
        let file = dir.open_with(path, &options)?;
        if !file.metadata()?.is_file() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        Ok(Self {
            file: file.into_std(),
            upload: None,
        })
    }

    /// To replace or make as a whole.
    pub(crate) fn replace(dir: &Dir, path: &Path, plan: Plan) -> io::Result<Self> {
        let (file, upload) = Upload::begin(dir, path, plan)?;
        Ok(Self {
            file,
            upload: Some(upload),
        })
    }

    /// Copies everything from another file and finishes.
    pub(crate) fn fill_from(&mut self, from: &mut File) -> io::Result<()> {
        let length = io::copy(from, &mut self.file)?;
        props::copy(from, &self.file);
        self.wrote(length);
        self.finish()
    }

    fn wrote(&mut self, length: u64) {
        if let Some(upload) = &mut self.upload {
            upload.written += length;
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.upload.take().map_or(Ok(()), Upload::finish)
    }
}

/// What is known of an upload when it begins.
#[derive(Clone, Copy, Default)]
pub(crate) struct Plan {
    /// Bytes that must come.
    pub(crate) size: Option<u64>,
    /// Nothing may be there yet.
    pub(crate) new: bool,
    /// Something must be there.
    pub(crate) existing: bool,
}

/// A temporary file that becomes its goal, or goes with this guard.
#[derive(Debug)]
struct Upload {
    parent: Dir,
    temporary: OsString,
    goal: OsString,
    expected: Option<u64>,
    written: u64,
    new: bool,
    done: bool,
}

impl Upload {
    fn begin(dir: &Dir, path: &Path, plan: Plan) -> io::Result<(File, Self)> {
        let present = match dir.symlink_metadata(path) {
            Ok(meta) => Some(meta),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => None,
            Err(cause) => return Err(cause),
        };
        match &present {
            Some(_) if plan.new => return Err(io::ErrorKind::AlreadyExists.into()),
            None if plan.existing => return Err(io::ErrorKind::NotFound.into()),
            Some(meta) if meta.is_dir() => return Err(io::ErrorKind::AlreadyExists.into()),
            _ => {}
        }
        // Through a link, what it leads to is replaced, if it is beneath.
        let resolved;
        let path = if present.as_ref().is_some_and(Metadata::is_symlink) {
            resolved = dir.canonicalize(path)?;
            &resolved
        } else {
            path
        };
        let (parent, goal) = split(path).ok_or(io::ErrorKind::AlreadyExists)?;
        let parent = dir.open_dir(parent)?;
        let old = match present {
            Some(_) => Some(writable(&parent, Path::new(goal))?),
            None => None,
        };
        let temporary = OsString::from(format!("{UPLOAD_PREFIX}{}", random_id()?));
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o666);
        let file = parent.open_with(&temporary, &options)?.into_std();
        let upload = Self {
            parent,
            temporary,
            goal: goal.to_owned(),
            expected: plan.size,
            written: 0,
            new: plan.new,
            done: false,
        };
        if let Some(old) = old {
            // It stays executable, and keeps what clients noted on it.
            let mode = old.metadata()?.mode() & 0o777;
            file.set_permissions(Permissions::from_mode(mode))?;
            props::copy(&old.into_std(), &file);
        }
        Ok((file, upload))
    }

    fn finish(mut self) -> io::Result<()> {
        if self
            .expected
            .is_some_and(|expected| expected != self.written)
        {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if self.new {
            rustix::fs::renameat_with(
                &self.parent,
                &self.temporary,
                &self.parent,
                &self.goal,
                RenameFlags::NOREPLACE,
            )?;
        } else {
            self.parent
                .rename(&self.temporary, &self.parent, &self.goal)?;
        }
        self.done = true;
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.done {
            self.parent.remove_file(&self.temporary).ok();
        }
    }
}

/// The file that is to be replaced: one that could be written could be so.
fn writable(dir: &Dir, name: &Path) -> io::Result<cap_std::fs::File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(NO_WAIT);
    let file = match dir.open_with(name, &options) {
        // A program that runs cannot be written, but it can be replaced.
        Err(cause)
            if rustix::io::Errno::from_io_error(&cause) == Some(rustix::io::Errno::TXTBSY) =>
        {
            let mut options = OpenOptions::new();
            options.read(true).custom_flags(NO_WAIT);
            dir.open_with(name, &options)?
        }
        other => other?,
    };
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    Ok(file)
}

impl DavFile for OpenFile {
    fn metadata(&'_ mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        Box::pin(async move {
            let meta = Metadata::from_file(&self.file).map_err(|cause| dav_error(&cause))?;
            Ok(Box::new(Meta(meta)) as Box<dyn DavMetaData>)
        })
    }

    fn write_buf(&'_ mut self, mut buf: Box<dyn Buf + Send>) -> FsFuture<'_, ()> {
        Box::pin(async move {
            while buf.has_remaining() {
                let length = buf.chunk().len();
                self.file
                    .write_all(buf.chunk())
                    .map_err(|cause| dav_error(&cause))?;
                self.wrote(length as u64);
                buf.advance(length);
            }
            Ok(())
        })
    }

    fn write_bytes(&'_ mut self, buf: Bytes) -> FsFuture<'_, ()> {
        Box::pin(async move {
            self.file
                .write_all(&buf)
                .map_err(|cause| dav_error(&cause))?;
            self.wrote(buf.len() as u64);
            Ok(())
        })
    }

    fn read_bytes(&'_ mut self, count: usize) -> FsFuture<'_, Bytes> {
        Box::pin(async move { read_some(&self.file, count) })
    }

    fn seek(&'_ mut self, pos: SeekFrom) -> FsFuture<'_, u64> {
        Box::pin(async move { self.file.seek(pos).map_err(|cause| dav_error(&cause)) })
    }

    fn flush(&'_ mut self) -> FsFuture<'_, ()> {
        Box::pin(async move { self.finish().map_err(|cause| dav_error(&cause)) })
    }
}

/// One piece, into memory that is not zeroed first; empty at the end.
fn read_some(file: &File, count: usize) -> FsResult<Bytes> {
    let mut piece = Vec::with_capacity(count);
    loop {
        match rustix::io::read(file, rustix::buffer::spare_capacity(&mut piece)) {
            Ok(_) => return Ok(piece.into()),
            Err(rustix::io::Errno::INTR) => {}
            Err(cause) => return Err(dav_error(&cause.into())),
        }
    }
}
