//! A path below the seat's workspace, whatever bytes its names have. Pure.
//!
//! Way: what a person typed -> [`RemotePath`] -> percent-encoded in a URL. What
//! would lead out is refused here already.

use std::{
    ffi::{OsStr, OsString},
    fmt::Write as _,
    os::unix::ffi::{OsStrExt, OsStringExt},
};

use crate::failure::{Exit, Failure};

/// Segments, none of them empty, `.` or `..`. None at all is the workspace itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct RemotePath {
    segments: Vec<OsString>,
}

impl RemotePath {
    /// Below the workspace, however it is spelled: `a/b`, `/a/b`, `./a//b/`.
    pub(crate) fn parse(text: &OsStr) -> Result<Self, Failure> {
        let mut segments = Vec::new();
        for segment in text.as_bytes().split(|byte| *byte == b'/') {
            match segment {
                b"" | b"." => {}
                b".." => return Err(refused(text, "it leads out of the workspace")),
                name if name.contains(&0) => return Err(refused(text, "names have no NUL")),
                name if name.len() > 255 => {
                    return Err(refused(text, "a name has more than 255 bytes"));
                }
                name => segments.push(OsString::from_vec(name.to_vec())),
            }
        }
        Ok(Self { segments })
    }

    /// One name below.
    pub(crate) fn join(&self, name: &OsStr) -> Self {
        let mut segments = self.segments.clone();
        segments.push(name.to_owned());
        Self { segments }
    }

    /// Its names, from the workspace on.
    pub(crate) fn names(&self) -> impl Iterator<Item = &OsStr> {
        self.segments.iter().map(OsString::as_os_str)
    }

    /// The same path below another.
    pub(crate) fn under(&self, root: &Self) -> Self {
        let segments = root.segments.iter().chain(&self.segments);
        Self {
            segments: segments.cloned().collect(),
        }
    }

    /// The folders on the way to it and itself, each before what lies in it.
    pub(crate) fn way(&self) -> impl Iterator<Item = Self> {
        (1..=self.segments.len()).map(|length| Self {
            segments: self.segments[..length].to_vec(),
        })
    }

    /// Where it lies; the workspace lies nowhere else.
    pub(crate) fn parent(&self) -> Self {
        let mut segments = self.segments.clone();
        segments.pop();
        Self { segments }
    }

    /// Its own name; none for the workspace.
    pub(crate) fn name(&self) -> Option<&OsStr> {
        self.segments.last().map(OsString::as_os_str)
    }

    pub(crate) fn is_root(&self) -> bool {
        self.segments.is_empty()
    }

    /// For a URL, from its slash: bytes that URLs do not take as they are, encoded.
    pub(crate) fn encoded(&self) -> String {
        let mut text = String::new();
        for segment in &self.segments {
            text.push('/');
            for byte in segment.as_bytes() {
                if byte.is_ascii_alphanumeric() || b"-_.~".contains(byte) {
                    text.push(char::from(*byte));
                } else {
                    let _ = write!(text, "%{byte:02X}");
                }
            }
        }
        text
    }

    /// For people.
    pub(crate) fn shown(&self) -> String {
        let names: Vec<_> = self
            .segments
            .iter()
            .map(|name| name.to_string_lossy())
            .collect();
        if names.is_empty() {
            return "~/workspace".into();
        }
        crate::output::plain(&names.join("/"))
    }
}

fn refused(text: &OsStr, why: &str) -> Failure {
    Failure::new(
        Exit::Usage,
        format!("{:?} is no path of the seat: {why}", text.to_string_lossy()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_one_spelling_in_a_url() {
        for (text, url) in [
            (&b"a/b"[..], "/a/b"),
            (b"/a//./b/", "/a/b"),
            (b".", ""),
            (b"", ""),
            (b"50% #1?.txt", "/50%25%20%231%3F.txt"),
            (b"back\\slash", "/back%5Cslash"),
            ("über/😀".as_bytes(), "/%C3%BCber/%F0%9F%98%80"),
            (b"\xff\xfe", "/%FF%FE"),
            (b"...", "/..."),
            (b"a\nb", "/a%0Ab"),
        ] {
            let path = RemotePath::parse(OsStr::from_bytes(text)).unwrap();
            assert_eq!(path.encoded(), url, "{text:?}");
        }
    }

    #[test]
    fn what_leads_out_is_no_path() {
        let long = vec![b'x'; 256];
        for text in [&b".."[..], b"a/../..", b"../x", b"/..", b"a\0b", &long] {
            assert!(
                RemotePath::parse(OsStr::from_bytes(text)).is_err(),
                "{text:?}"
            );
        }
        assert!(RemotePath::parse(OsStr::from_bytes(&long[..255])).is_ok());
    }

    #[test]
    fn a_path_knows_its_name_and_where_it_lies() {
        let path = RemotePath::parse(OsStr::new("a/b/c")).unwrap();
        assert_eq!(path.name(), Some(OsStr::new("c")));
        assert_eq!(path.parent().encoded(), "/a/b");
        assert_eq!(path.join(OsStr::new("d")).encoded(), "/a/b/c/d");
        let way: Vec<_> = path.way().map(|at| at.encoded()).collect();
        assert_eq!(way, ["/a", "/a/b", "/a/b/c"]);
        let below = path.under(&RemotePath::parse(OsStr::new("x")).unwrap());
        assert_eq!(below.encoded(), "/x/a/b/c");
        let root = RemotePath::default();
        assert!(root.is_root() && root.name().is_none() && root.parent().is_root());
    }
}
