//! Dead properties: what WebDAV clients note on files for themselves.
//!
//! All of a file's are kept in one extended attribute, so that they move, are
//! removed and survive a restart with the file itself.

use std::{fs::File, io};

use dav_server::fs::{DavProp, FsError, FsResult};
use http::StatusCode;
use rustix::{fs::XattrFlags, io::Errno};
use serde::{Deserialize, Serialize};

use super::workspace::dav_error;

const ATTRIBUTE: &str = "user.clarateach.dav";
/// An attribute has at most this on Linux; most file systems take less.
const LARGEST: usize = 64 * 1024;

#[derive(Serialize, Deserialize, PartialEq, Eq)]
struct Kept {
    name: String,
    prefix: Option<String>,
    namespace: Option<String>,
    xml: Option<String>,
}

impl Kept {
    fn is(&self, prop: &DavProp) -> bool {
        self.name == prop.name
            && self.namespace.as_deref().unwrap_or_default()
                == prop.namespace.as_deref().unwrap_or_default()
    }

    fn prop(self, content: bool) -> DavProp {
        DavProp {
            name: self.name,
            prefix: self.prefix,
            namespace: self.namespace,
            xml: self.xml.filter(|_| content).map(String::into_bytes),
        }
    }
}

/// All of them.
pub(crate) fn all(file: &File, content: bool) -> FsResult<Vec<DavProp>> {
    let kept = read(file).map_err(|cause| dav_error(&cause))?;
    Ok(kept.into_iter().map(|kept| kept.prop(content)).collect())
}

/// The value of one.
pub(crate) fn one(file: &File, wanted: &DavProp) -> FsResult<Vec<u8>> {
    read(file)
        .map_err(|cause| dav_error(&cause))?
        .into_iter()
        .find(|kept| kept.is(wanted))
        .and_then(|kept| kept.xml)
        .map(String::into_bytes)
        .ok_or(FsError::NotFound)
}

/// Sets (true) and removes (false), all or nothing.
pub(crate) fn patch(
    file: &File,
    changes: Vec<(bool, DavProp)>,
) -> FsResult<Vec<(StatusCode, DavProp)>> {
    let mut kept = read(file).map_err(|cause| dav_error(&cause))?;
    let mut names = Vec::with_capacity(changes.len());
    for (set, prop) in changes {
        kept.retain(|kept| !kept.is(&prop));
        names.push(DavProp {
            xml: None,
            ..prop.clone()
        });
        if set {
            kept.push(Kept {
                name: prop.name,
                prefix: prop.prefix,
                namespace: prop.namespace,
                xml: prop
                    .xml
                    .map(|xml| String::from_utf8_lossy(&xml).into_owned()),
            });
        }
    }
    let status = match write(file, &kept) {
        Ok(()) => StatusCode::OK,
        Err(cause) => match Errno::from_io_error(&cause) {
            // Too many or too long for this file system.
            Some(Errno::NOSPC | Errno::RANGE | Errno::TOOBIG | Errno::DQUOT) => {
                StatusCode::INSUFFICIENT_STORAGE
            }
            // One that keeps no attributes.
            _ => StatusCode::FORBIDDEN,
        },
    };
    Ok(names.into_iter().map(|name| (status, name)).collect())
}

/// Takes them along to a copy. A file system that cannot is no reason to fail.
pub(crate) fn copy(from: &File, to: &File) {
    let mut value = vec![0; LARGEST];
    if let Ok(length) = rustix::fs::fgetxattr(from, ATTRIBUTE, &mut value[..]) {
        rustix::fs::fsetxattr(to, ATTRIBUTE, &value[..length], XattrFlags::empty()).ok();
    }
}

fn read(file: &File) -> io::Result<Vec<Kept>> {
    let mut value = vec![0; LARGEST];
    match rustix::fs::fgetxattr(file, ATTRIBUTE, &mut value[..]) {
        // The learner may have written anything there.
        Ok(length) => Ok(serde_json::from_slice(&value[..length]).unwrap_or_default()),
        Err(Errno::NODATA | Errno::NOTSUP) => Ok(vec![]),
        Err(cause) => Err(cause.into()),
    }
}

fn write(file: &File, kept: &[Kept]) -> io::Result<()> {
    if kept.is_empty() {
        return match rustix::fs::fremovexattr(file, ATTRIBUTE) {
            Ok(()) | Err(Errno::NODATA | Errno::NOTSUP) => Ok(()),
            Err(cause) => Err(cause.into()),
        };
    }
    let value = serde_json::to_vec(kept)?;
    rustix::fs::fsetxattr(file, ATTRIBUTE, &value, XattrFlags::empty())?;
    Ok(())
}
