//! The files that a process has open.

use std::{
    fs::{self, Metadata},
    path::PathBuf,
};

use anyhow::Context as _;

use super::vmm::Vmm;

/// One of them.
pub(super) struct OpenFile {
    pub(super) number: u32,
    /// As the kernel names it.
    pub(super) link: PathBuf,
    pub(super) file: Metadata,
    /// `O_RDONLY`, `O_WRONLY`, `O_NONBLOCK` …
    pub(super) flags: libc::c_int,
}

impl OpenFile {
    /// Whether it may be written to.
    pub(super) fn writes(&self) -> bool {
        self.flags & libc::O_ACCMODE != libc::O_RDONLY
    }
}

/// All of the process. One that is closed meanwhile is left out.
pub(super) fn all(vmm: &Vmm) -> anyhow::Result<Vec<OpenFile>> {
    let mut found = Vec::new();
    let listed = fs::read_dir(vmm.proc("fd")).context("could not list what it has open")?;
    for entry in listed {
        let path = entry.context("could not list what it has open")?.path();
        let number = path
            .file_name()
            .and_then(|name| name.to_str()?.parse().ok());
        let (Some(number), Ok(link), Ok(file)) =
            (number, fs::read_link(&path), fs::metadata(&path))
        else {
            continue;
        };
        let Ok(info) = vmm.read(&format!("fdinfo/{number}")) else {
            continue;
        };
        let flags = super::vmm::field_of(&info, "flags")
            .and_then(|flags| libc::c_int::from_str_radix(&flags, 8).ok())
            .context("an open file has no flags")?;
        found.push(OpenFile {
            number,
            link,
            file,
            flags,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{super::vmm::tests::unjailed, *};

    #[test]
    fn a_file_that_is_written_is_told_from_one_that_is_read() {
        let (dir, vmm) = unjailed();
        let path = dir.path().join("file");
        let _written = fs::File::create(&path).unwrap();
        let _read = fs::File::open(&path).unwrap();
        let all = all(&vmm).unwrap();
        let ours: Vec<_> = all.iter().filter(|open| open.link == path).collect();
        assert_eq!(ours.len(), 2);
        assert_eq!(ours.iter().filter(|open| open.writes()).count(), 1);
        assert!(all.iter().any(|open| open.number == 0));
    }
}
