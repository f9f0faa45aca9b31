//! Where this machine keeps what is remembered, by the XDG rules
//! (<https://specifications.freedesktop.org/basedir-spec/latest/>).

use std::{
    ffi::OsString,
    fs,
    io::{self, Write},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::failure::{Exit, Failure};

/// `$XDG_STATE_HOME/clarateach/seats`.
pub(crate) fn seats() -> Result<PathBuf, Failure> {
    from(std::env::var_os("XDG_STATE_HOME"), std::env::var_os("HOME"))
        .map(|state| state.join("clarateach/seats"))
        .ok_or_else(|| {
            Failure::new(Exit::Fault, "there is no place to remember the seat")
                .hint("Set HOME or XDG_STATE_HOME.")
        })
}

/// Writes a file whole or not at all, and for its owner only.
pub(crate) fn keep(file: &Path, text: &[u8]) -> io::Result<()> {
    let dir = file.parent().unwrap_or(file);
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)?;
    // A temporary file is 0600 from its first moment.
    let mut new = tempfile::NamedTempFile::new_in(dir)?;
    new.write_all(text)?;
    new.as_file().sync_all()?;
    new.persist(file).map_err(|error| error.error)?;
    Ok(())
}

/// A relative `XDG_STATE_HOME` is to be ignored.
fn from(state: Option<OsString>, home: Option<OsString>) -> Option<PathBuf> {
    let absolute = |dir: OsString| Some(PathBuf::from(dir)).filter(|dir| dir.is_absolute());
    state
        .and_then(absolute)
        .or_else(|| Some(home.and_then(absolute)?.join(".local/state")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_found_by_the_xdg_rules() {
        let some = |text: &str| Some(OsString::from(text));
        assert_eq!(from(some("/s"), some("/h")), Some("/s".into()));
        assert_eq!(from(some("s"), some("/h")), Some("/h/.local/state".into()));
        assert_eq!(from(None, some("/h")), Some("/h/.local/state".into()));
        assert_eq!(from(None, None), None);
    }
}
