//! Somebody with a home of their own who types lines.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    process::{Command, Stdio},
};

use clarateach_e2e::{House, house::binary};
use serde_json::Value;

/// One person's machine: a home of their own, and the program.
pub(crate) struct Person {
    home: tempfile::TempDir,
}

/// What a run gave.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) errors: String,
}

impl Ran {
    /// The data of a run that went well.
    pub(crate) fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.errors);
        self.out
    }

    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.good()).unwrap()
    }
}

impl Person {
    pub(crate) fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut command = Command::new(binary("clarateach"));
        command
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .current_dir(self.home.path());
        command
    }

    /// Runs it with this on stdin.
    pub(crate) fn run_with<S: AsRef<OsStr>>(&self, arguments: &[S], input: &[u8]) -> Ran {
        let mut child = self
            .command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).ok();
        let done = child.wait_with_output().unwrap();
        let ran = Ran {
            code: done.status.code().unwrap(),
            out: String::from_utf8_lossy(&done.stdout).into_owned(),
            errors: String::from_utf8_lossy(&done.stderr).into_owned(),
        };
        let words: Vec<_> = arguments
            .iter()
            .map(|a| a.as_ref().to_string_lossy())
            .collect();
        println!(
            "$ clarateach {}\n{}{}",
            words.join(" "),
            ran.out,
            ran.errors
        );
        ran
    }

    pub(crate) fn run(&self, line: &str) -> Ran {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.run_with(&words, b"")
    }

    pub(crate) fn login(&self, house: &House) {
        let login = ["login", "--server", &house.url];
        self.run_with(&login, house.admin_token().as_bytes()).good();
    }

    pub(crate) fn join(&self, house: &House, code: &str, name: &str) {
        self.run_with(&["join", code, "--name", name, "--server", &house.url], b"")
            .good();
    }

    pub(crate) fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    /// What lies in its folder, but what is kept for the program.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name != ".config" && name != ".local")
            .collect();
        names.sort();
        names
    }
}
