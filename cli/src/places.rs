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
    let state = std::env::var_os("XDG_STATE_HOME");
    below(state, std::env::var_os("HOME"), ".local/state")
        .map(|state| state.join("clarateach/seats"))
        .ok_or_else(|| {
            Failure::new(Exit::Fault, "there is no place to remember the seat")
                .hint("Set HOME or XDG_STATE_HOME.")
        })
}

/// `$XDG_CONFIG_HOME/clarateach/login.json`.
pub(crate) fn login() -> Result<PathBuf, Failure> {
    let config = std::env::var_os("XDG_CONFIG_HOME");
    below(config, std::env::var_os("HOME"), ".config")
        .map(|config| config.join("clarateach/login.json"))
        .ok_or_else(|| {
            Failure::new(Exit::Fault, "there is no place to remember a login")
                .hint("Set HOME or XDG_CONFIG_HOME.")
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

/// What a variable names, or else a folder at home. A relative one is to be ignored.
fn below(named: Option<OsString>, home: Option<OsString>, usual: &str) -> Option<PathBuf> {
    let absolute = |dir: OsString| Some(PathBuf::from(dir)).filter(|dir| dir.is_absolute());
    named
        .and_then(absolute)
        .or_else(|| Some(home.and_then(absolute)?.join(usual)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_is_found_by_the_xdg_rules() {
        let some = |text: &str| Some(OsString::from(text));
        let from = |named, home| below(named, home, ".local/state");
        assert_eq!(from(some("/s"), some("/h")), Some("/s".into()));
        assert_eq!(from(some("s"), some("/h")), Some("/h/.local/state".into()));
        assert_eq!(from(None, some("/h")), Some("/h/.local/state".into()));
        assert_eq!(from(None, None), None);
    }
}
