//! The world outside a worker: a namespace of the test's own, with an internet, a
//! metadata server and a VPC that count every packet.

// Helpers of tests may fail as tests do; not every program needs all of it.
#![allow(clippy::unwrap_used, dead_code)]

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

use super::worker::{self, Worker};

/// The worker's own address on its uplink.
pub(crate) const UPLINK: &str = "198.51.100.2";
/// The worker's address as the internet sees it: nobody's interface has it.
pub(crate) const EXTERNAL: &str = "203.0.113.99";
/// What of the world no seat may ever reach.
pub(crate) const CLOSED: [&str; 7] = [
    "169.254.169.254",
    "10.128.0.77",
    "172.16.5.5",
    "192.168.7.7",
    "100.64.0.7",
    "198.18.0.1",
    EXTERNAL,
];
const OPEN: [&str; 3] = ["203.0.113.10", "203.0.113.20", "203.0.113.30"];
const SERVICES: [&str; 7] = ["names", "22", "25", "80", "443", "3002", "9090"];

/// The world of one worker.
pub(crate) struct World {
    name: String,
    server: Child,
    /// Services of the worker itself, which no seat may reach either.
    own: Child,
}

impl World {
    /// Puts a world behind the worker's uplink.
    pub(crate) fn behind(worker: &Worker) -> Self {
        let name = format!("{}w", worker.name());
        let netns = worker.name();
        let mut script = format!(
            "set -e
            ip netns add {name}
            ip -n {netns} link del up0
            ip -n {netns} link add up0 type veth peer name w0 netns {name}
            ip -n {netns} addr add {UPLINK}/24 dev up0
            ip -n {netns} link set up0 up
            ip -n {netns} route add default via 198.51.100.1
            ip -n {name} link set lo up
            ip -n {name} addr add 198.51.100.1/24 dev w0
            ip -n {name} link set w0 up
            "
        );
        for address in CLOSED.iter().chain(&OPEN) {
            writeln!(script, "ip -n {name} addr add {address}/32 dev w0").unwrap();
        }
        let closed = CLOSED.join(", ");
        write!(
            script,
            "ip netns exec {name} nft -f - <<'END'
            table inet world {{
              counter closed {{ }}
              counter unmasked {{ }}
              counter ipv6 {{ }}
              chain arrivals {{
                type filter hook prerouting priority -300; policy accept;
                iif lo accept
                ip daddr {{ {closed}, 224.0.0.0/4 }} counter name closed
                tcp dport 25 counter name closed
                ip saddr 192.168.100.0/24 counter name unmasked
                ip6 saddr != {{ fe80::/10, :: }} counter name ipv6
              }}
            }}
END
            "
        )
        .unwrap();
        assert!(worker::run("sh", &["-c", &script]), "the world: {script}");
        let server = serve(&name, "world.py", &SERVICES);
        let own = serve(netns, "world.py", &["22", "9090"]);
        Self { name, server, own }
    }

    /// The namespace's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Packets that arrived where none may, by counter.
    pub(crate) fn hits(&self) -> Vec<(String, u64)> {
        let listed = self.run("nft list counters table inet world");
        let mut hits = Vec::new();
        let mut name = String::new();
        for line in listed.lines().map(str::trim) {
            if let Some(rest) = line.strip_prefix("counter ") {
                rest.trim_end_matches(" {").clone_into(&mut name);
            } else if let Some(rest) = line.strip_prefix("packets ") {
                let count = rest.split(' ').next().unwrap().parse().unwrap();
                hits.push((name.clone(), count));
            }
        }
        assert_eq!(hits.len(), 3, "{listed}");
        hits.retain(|(_, count)| *count > 0);
        hits
    }

    /// Runs a command in the world.
    pub(crate) fn run(&self, command: &str) -> String {
        let done = Command::new("ip")
            .args(["netns", "exec", &self.name, "sh", "-c", command])
            .output();
        String::from_utf8_lossy(&done.unwrap().stdout).into_owned()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for child in [&mut self.server, &mut self.own] {
            let _gone = child.kill();
            let _gone = child.wait();
        }
        worker::run("ip", &["netns", "del", &self.name]);
    }
}

fn serve(netns: &str, script: &str, ports: &[&str]) -> Child {
    let path = format!("{}/tests/network/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut child = Command::new("ip")
        .args(["netns", "exec", netns, "python3", &path])
        .args(ports)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "world\n");
    child
}
