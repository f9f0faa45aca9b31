//! Somebody with a home of their own who types lines.

use std::{
    ffi::OsStr,
    fs,
    io::Write,
    process::{Command, Stdio},
};

use crate::{House, house::binary};
use serde_json::Value;

/// What shows a program another time.
pub const FAKETIME: &str = "/usr/bin/faketime";

/// One person's machine: a home of their own, and the program.
pub struct Person {
    home: tempfile::TempDir,
    clock: Option<String>,
}

/// What a run gave.
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// What it said on stdout.
    pub out: String,
    /// And on stderr.
    pub errors: String,
}

impl Ran {
    /// The data of a run that went well.
    pub fn good(self) -> String {
        assert_eq!(self.code, 0, "{}{}", self.out, self.errors);
        self.out
    }

    /// The same as JSON.
    pub fn json(self) -> Value {
        serde_json::from_str(&self.good()).unwrap()
    }
}

impl Default for Person {
    fn default() -> Self {
        Self::new()
    }
}

impl Person {
    /// Somebody new.
    pub fn new() -> Self {
        Self {
            home: tempfile::tempdir().unwrap(),
            clock: None,
        }
    }

    /// Somebody whose clock is off by so much, such as `-1h`. Needs `faketime`.
    pub fn with_clock(off: &str) -> Self {
        Self {
            clock: Some(off.to_owned()),
            ..Self::new()
        }
    }

    /// What to run, and what comes before the program's own arguments.
    pub(crate) fn program(&self) -> (std::path::PathBuf, Vec<std::ffi::OsString>) {
        let own = binary("clarateach");
        match &self.clock {
            None => (own, Vec::new()),
            Some(off) => {
                let before = vec!["-f".into(), off.into(), own.into()];
                (FAKETIME.into(), before)
            }
        }
    }

    /// The program with these arguments, not yet run.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let (program, before) = self.program();
        let mut command = Command::new(program);
        command
            .args(before)
            .args(arguments)
            .env_clear()
            .env("HOME", self.home.path())
            .current_dir(self.home.path());
        command
    }

    /// Runs it with this on stdin.
    pub fn run_with<S: AsRef<OsStr>>(&self, arguments: &[S], input: &[u8]) -> Ran {
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

    /// Runs it with the words of a line.
    pub fn run(&self, line: &str) -> Ran {
        let words: Vec<&str> = line.split_whitespace().collect();
        self.run_with(&words, b"")
    }

    /// Signs in as the admin.
    pub fn login(&self, house: &House) {
        let login = ["login", "--server", &house.url];
        self.run_with(&login, house.admin_token().as_bytes()).good();
    }

    /// Takes a seat.
    pub fn join(&self, house: &House, code: &str, name: &str) {
        self.join_at(&house.url, code, name);
    }

    /// Takes a seat by another way to the control plane.
    pub fn join_at(&self, url: &str, code: &str, name: &str) {
        self.run_with(&["join", code, "--name", name, "--server", url], b"")
            .good();
    }

    /// A path in their home.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.home.path().join(name)
    }

    /// What lies in its folder, but what is kept for the program.
    pub fn names(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(self.path(folder))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name != ".config" && name != ".local")
            .collect();
        names.sort();
        names
    }
}
