//! Counts what workers send where no seat may ever get: the metadata server and
//! the networks of clouds. It must be nothing, whatever the story; what comes all
//! the same goes no further.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

const TABLE: &str = "clarateach_canary";

/// The counter, on this host, before the host's own walls.
pub struct Canary(());

impl Canary {
    /// Begins to count.
    pub fn sing() -> Self {
        let _old = nft(&format!("delete table inet {TABLE}\n"));
        // The worker's own resolver may be there: a seat's question is not its own.
        let rules = format!(
            "table inet {TABLE} {{
              counter hits {{ }}
              chain prerouting {{
                type filter hook prerouting priority -400; policy accept;
                iifname != \"ctu*\" accept
                meta l4proto {{ tcp, udp }} th dport 53 accept
                ip daddr {{ 169.254.0.0/16, 10.128.0.0/16, 172.16.0.0/12, 100.64.0.0/10 }} counter name hits drop
              }}
            }}\n"
        );
        assert!(nft(&rules), "the canary's rules");
        Self(())
    }

    /// Packets so far.
    pub fn hits(&self) -> u64 {
        let listed = Command::new("nft")
            .args(["list", "counter", "inet", TABLE, "hits"])
            .output()
            .unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let count = listed.split_once("packets ").and_then(|(_, rest)| {
            let count = rest.split(' ').next()?;
            count.parse().ok()
        });
        count.unwrap_or_else(|| panic!("the canary is gone: {listed}"))
    }

    /// Begins again at nothing, for the story that makes sure that it counts.
    pub fn forget(&self) {
        let done = Command::new("nft")
            .args(["reset", "counter", "inet", TABLE, "hits"])
            .output()
            .unwrap();
        assert!(done.status.success() && self.hits() == 0, "{done:?}");
    }
}

impl Drop for Canary {
    fn drop(&mut self) {
        nft(&format!("delete table inet {TABLE}\n"));
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
