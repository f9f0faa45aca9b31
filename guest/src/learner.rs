//! Starting things as the learner: who, where and with which environment.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use crate::{config::Config, seat::Identity};

/// As Debian's `/etc/profile` has it for users.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The environment of a login of the learner: the workshop's wins over ours,
/// except where a shell would no longer be the learner's.
pub(crate) fn environment(config: &Config, identity: &Identity) -> BTreeMap<String, String> {
    let mut env: BTreeMap<String, String> = [
        ("PATH", PATH),
        ("LANG", "C.UTF-8"),
        ("TERM", "xterm-256color"),
        ("COLORTERM", "truecolor"),
        ("CLARATEACH_SEAT", identity.hostname.as_str()),
        ("CLARATEACH_WORKSHOP", identity.workshop_name.as_str()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    env.extend(identity.env.clone());
    let home = config.home.to_string_lossy().into_owned();
    let shell = config.shell.to_string_lossy().into_owned();
    for (name, value) in [
        ("HOME", home),
        ("SHELL", shell),
        ("USER", config.user.clone()),
        ("LOGNAME", config.user.clone()),
    ] {
        env.insert(name.to_owned(), value);
    }
    env
}

/// Whether a process can be given this variable at all.
pub(crate) fn is_variable(name: &str, value: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
}

/// Where a shell starts: the workspace, made again if the learner removed it;
/// else as near as there is.
pub(crate) fn start_folder(config: &Config) -> PathBuf {
    let workspace = config.workspace();
    if make_folder(config, &workspace).is_ok() && workspace.is_dir() {
        return workspace;
    }
    if config.home.is_dir() {
        return config.home.clone();
    }
    PathBuf::from("/")
}

/// Makes a folder that belongs to the learner. One that is there stays as it is.
pub(crate) fn make_folder(config: &Config, path: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Ok(()) => {
            if config.switches_user() {
                // The link itself, should one have appeared meanwhile.
                std::os::unix::fs::lchown(path, Some(config.uid), Some(config.gid))?;
            }
            Ok(())
        }
        Err(cause) if cause.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(cause) => Err(cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workshops_environment_is_added_but_the_learner_stays_the_learner() {
        let config = Config::for_a_test();
        let identity = Identity {
            hostname: "seat-3".into(),
            secret: String::new(),
            env: [("API", "x"), ("HOME", "/root"), ("LANG", "de_DE.UTF-8")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            workshop_name: "Rust".into(),
            nameservers: vec![],
        };
        let env = environment(&config, &identity);
        for (name, wanted) in [
            ("API", "x"),
            ("HOME", "/home/learner"),
            ("USER", "learner"),
            ("LANG", "de_DE.UTF-8"),
            ("TERM", "xterm-256color"),
            ("CLARATEACH_SEAT", "seat-3"),
        ] {
            assert_eq!(env.get(name).map(String::as_str), Some(wanted), "{name}");
        }
    }

    #[test]
    fn names_and_values_that_no_process_can_have_are_known() {
        for (name, value, fits) in [
            ("A", "1", true),
            ("", "1", false),
            ("A=B", "1", false),
            ("A\0", "1", false),
            ("A", "1\0", false),
            ("ä b", "", true),
        ] {
            assert_eq!(is_variable(name, value), fits, "{name:?}={value:?}");
        }
    }
}
