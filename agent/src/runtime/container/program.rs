//! `runc` as this process runs it: from a copy in memory that nobody can write to.
//!
//! Each `runc init` makes sure that it runs from a sealed memory file, so that a
//! container cannot overwrite the host's program through `/proc/self/exe`
//! (CVE-2019-5736), and copies all ten megabytes of itself if it does not. One
//! that is started from such a file has nothing to copy; that is a tenth of what
//! a start costs. The seals are the very four that it looks for
//! (`libcontainer/nsenter/cloned_binary.c`). A script in its place, as some vendors
//! wrap it, is started from where it lies.

use std::{
    ffi::{CStr, CString},
    fs::File,
    io::{self, Read as _, Seek as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::ffi::OsStrExt as _,
    },
    path::Path,
};

use anyhow::Context as _;
use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create},
    io::fcntl_dupfd_cloexec,
};

/// Above the numbers that a child's files go to.
const FIRST_FREE: i32 = 64;

/// The program, for as long as this value lives.
#[derive(Debug)]
pub(super) struct Runc {
    _sealed: Option<OwnedFd>,
    path: CString,
}

impl Runc {
    /// Looks for it where distributions put it, and copies it. Blocks.
    pub(super) fn find() -> anyhow::Result<Self> {
        let found = [
            "/usr/sbin/runc",
            "/usr/bin/runc",
            "/usr/local/sbin/runc",
            "/usr/local/bin/runc",
        ]
        .iter()
        .map(Path::new)
        .find(|path| path.exists())
        .context("runc is not installed: apt-get install runc")?;
        let sealed =
            sealed(found).with_context(|| format!("could not copy {}", found.display()))?;
        let path = match &sealed {
            // The child's own table of files: it has this number until it is another program.
            Some(sealed) => CString::new(format!("/proc/self/fd/{}", sealed.as_raw_fd()))?,
            None => CString::new(found.as_os_str().as_bytes())?,
        };
        Ok(Self {
            _sealed: sealed,
            path,
        })
    }

    /// What a child of this process starts.
    pub(super) fn path(&self) -> &CStr {
        &self.path
    }
}

/// None for what is no program but a script: its interpreter could not open it.
fn sealed(program: &Path) -> io::Result<Option<OwnedFd>> {
    let mut file = File::open(program)?;
    let mut magic = [0; 4];
    file.read_exact(&mut magic)?;
    if magic != *b"\x7fELF" {
        return Ok(None);
    }
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut copy = File::from(memfd_create("runc", flags)?);
    file.rewind()?;
    io::copy(&mut file, &mut copy)?;
    fcntl_add_seals(
        &copy,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )?;
    Ok(Some(fcntl_dupfd_cloexec(&copy, FIRST_FREE)?))
}
