//! The folder that is served, as a capability: nothing above it can be named.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use cap_std::{ambient_authority, fs::Dir};
use dav_server::{davpath::DavPath, fs::FsError};
use rustix::io::Errno;

use crate::config::{Config, WORKSPACE};

/// Opens it anew for each request: the learner may have removed and made it
/// again. It is looked up beneath the home, so a link in its place leads
/// nowhere else.
pub(crate) fn open(config: &Config) -> io::Result<Dir> {
    Dir::open_ambient_dir(&config.home, ambient_authority())?.open_dir(WORKSPACE)
}

/// A request's path, beneath the folder.
pub(crate) fn relative(path: &DavPath) -> PathBuf {
    let bytes = path.as_bytes();
    let mut inner = bytes;
    while let [b'/', rest @ ..] = inner {
        inner = rest;
    }
    while let [rest @ .., b'/'] = inner {
        inner = rest;
    }
    if inner.is_empty() {
        return PathBuf::from(".");
    }
    PathBuf::from(OsStr::from_bytes(inner))
}

/// A path's folder and its last name; none for the workspace itself.
pub(crate) fn split(path: &Path) -> Option<(&Path, &OsStr)> {
    let name = path.file_name()?;
    let parent = path
        .parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    Some((parent, name))
}

/// Names of uploads under way begin so, and are shown to nobody.
pub(crate) const UPLOAD_PREFIX: &str = ".clarateach-upload-";

/// Whether a name is an upload under way.
pub(crate) fn is_upload(name: &OsStr) -> bool {
    name.as_bytes().starts_with(UPLOAD_PREFIX.as_bytes())
}

/// What the kernel, or cap-std on its behalf, answered, as WebDAV says it.
pub(crate) fn dav_error(cause: &io::Error) -> FsError {
    let Some(errno) = Errno::from_io_error(cause) else {
        return match cause.kind() {
            // cap-std: the path would have left the folder.
            io::ErrorKind::PermissionDenied => FsError::Forbidden,
            io::ErrorKind::NotFound => FsError::NotFound,
            io::ErrorKind::AlreadyExists => FsError::Exists,
            _ => FsError::GeneralFailure,
        };
    };
    match errno {
        Errno::NOENT | Errno::NOTDIR => FsError::NotFound,
        Errno::NOSPC | Errno::DQUOT | Errno::MLINK => FsError::InsufficientStorage,
        Errno::FBIG => FsError::TooLarge,
        Errno::EXIST | Errno::NOTEMPTY => FsError::Exists,
        Errno::LOOP => FsError::LoopDetected,
        Errno::NAMETOOLONG => FsError::PathTooLong,
        Errno::ACCESS
        | Errno::PERM
        | Errno::ROFS
        | Errno::ISDIR
        | Errno::XDEV
        | Errno::BUSY
        | Errno::TXTBSY
        | Errno::NXIO
        | Errno::INVAL => FsError::Forbidden,
        _ => FsError::GeneralFailure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_requests_path_is_beneath_the_folder_or_none() {
        for (raw, wanted) in [
            ("/", Some(".")),
            ("/a", Some("a")),
            ("/a/b/", Some("a/b")),
            ("//a//b", Some("a/b")),
            ("/a/../b", Some("b")),
            ("/a%20b", Some("a b")),
            ("/..", None),
            ("/a/../../b", None),
            ("/%2e%2e/b", None),
            ("/a%2fb", None),
            ("/a%00b", None),
            ("a", None),
        ] {
            let got = DavPath::new(raw).ok().map(|path| relative(&path));
            assert_eq!(got, wanted.map(PathBuf::from), "{raw}");
        }
    }

    #[test]
    fn a_path_is_a_folder_and_a_name() {
        for (path, wanted) in [
            ("a", Some((".", "a"))),
            ("a/b", Some(("a", "b"))),
            (".", None),
        ] {
            let wanted = wanted.map(|(parent, name)| (Path::new(parent), OsStr::new(name)));
            assert_eq!(split(Path::new(path)), wanted, "{path}");
        }
    }
}
