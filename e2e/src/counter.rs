//! A count of packets by nftables rules on this host, for as long as it is kept.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

/// A table of its own with one counter.
pub struct Counter(&'static str);

impl Counter {
    /// Begins to count, by a `chain` that counts into `hits`. What a killed run left of
    /// the same table goes first.
    pub fn begin(table: &'static str, chain: &str) -> Self {
        let _old = nft(&format!("delete table inet {table}\n"));
        let rules = format!("table inet {table} {{\ncounter hits {{ }}\n{chain}\n}}\n");
        assert!(nft(&rules), "the rules of {table}");
        Self(table)
    }

    /// Packets so far.
    pub fn count(&self) -> u64 {
        let listed = Command::new("nft")
            .args(["list", "counter", "inet", self.0, "hits"])
            .output()
            .unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let count = listed.split_once("packets ").and_then(|(_, rest)| {
            let count = rest.split(' ').next()?;
            count.parse().ok()
        });
        count.unwrap_or_else(|| panic!("the counter of {} is gone: {listed}", self.0))
    }

    /// Begins again at nothing.
    pub fn forget(&self) {
        let done = Command::new("nft")
            .args(["reset", "counter", "inet", self.0, "hits"])
            .output()
            .unwrap();
        assert!(done.status.success() && self.count() == 0, "{done:?}");
    }
}

impl Drop for Counter {
    fn drop(&mut self) {
        nft(&format!("delete table inet {}\n", self.0));
    }
}

fn nft(script: &str) -> bool {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(script.as_bytes())
        .unwrap();
    child.wait().unwrap().success()
}
