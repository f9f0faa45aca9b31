//! What dav-server wants to know of a file, from one `stat`.

use std::{ffi::OsString, os::unix::ffi::OsStrExt as _, time::SystemTime};

use cap_std::fs::{Metadata, MetadataExt as _};
use dav_server::fs::{DavDirEntry, DavMetaData, FsFuture, FsResult};

use super::workspace::dav_error;

/// A file's `stat`.
#[derive(Clone, Debug)]
pub(crate) struct Meta(pub(crate) Metadata);

impl Meta {
    /// Changes with every write and every replacement; without quotes.
    pub(crate) fn tag(&self) -> String {
        let stat = &self.0;
        format!(
            "{:x}-{:x}-{:x}.{:x}",
            stat.ino(),
            stat.size(),
            stat.mtime(),
            stat.mtime_nsec()
        )
    }
}

impl DavMetaData for Meta {
    fn len(&self) -> u64 {
        self.0.len()
    }

    fn modified(&self) -> FsResult<SystemTime> {
        self.0
            .modified()
            .map(cap_std::time::SystemTime::into_std)
            .map_err(|cause| dav_error(&cause))
    }

    fn is_dir(&self) -> bool {
        self.0.is_dir()
    }

    fn is_file(&self) -> bool {
        self.0.is_file()
    }

    fn is_symlink(&self) -> bool {
        self.0.is_symlink()
    }

    fn etag(&self) -> Option<String> {
        Some(self.tag())
    }

    fn executable(&self) -> FsResult<bool> {
        Ok(self.0.mode() & 0o100 != 0)
    }
}

/// One line of a folder.
pub(crate) struct Entry {
    pub(crate) name: OsString,
    pub(crate) meta: Meta,
}

impl DavDirEntry for Entry {
    fn name(&self) -> Vec<u8> {
        self.name.as_bytes().to_vec()
    }

    fn metadata(&'_ self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        let meta: Box<dyn DavMetaData> = Box::new(self.meta.clone());
        Box::pin(std::future::ready(Ok(meta)))
    }
}
