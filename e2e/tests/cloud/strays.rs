//! Counts connections that something on this host begins to an address: an old one of a VM,
//! which may be anybody's by now.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

const TABLE: &str = "clarateach_strays";

/// The counter, for as long as it is kept. One at a time.
pub(crate) struct Strays {
    table: &'static str,
}

impl Strays {
    /// Begins to count those to the host of `address`, a socket's.
    pub(crate) fn to(address: &str) -> Self {
        let address: std::net::SocketAddr = address.parse().unwrap();
        let host = address.ip();
        let rules = format!(
            "table inet {TABLE} {{
              counter hits {{ }}
              chain output {{
                type filter hook output priority 0; policy accept;
                ip daddr {host} tcp flags & (syn | ack) == syn counter name hits
              }}
            }}\n"
        );
        assert!(nft(&rules), "the rules that count");
        Self { table: TABLE }
    }

    /// So far.
    pub(crate) fn count(&self) -> u64 {
        let listed = Command::new("nft")
            .args(["list", "counter", "inet", self.table, "hits"])
            .output()
            .unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        let count = listed.split_once("packets ").and_then(|(_, rest)| {
            let count = rest.split(' ').next()?;
            count.parse().ok()
        });
        count.unwrap_or_else(|| panic!("the counter is gone: {listed}"))
    }
}

impl Drop for Strays {
    fn drop(&mut self) {
        nft(&format!("delete table inet {}\n", self.table));
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
