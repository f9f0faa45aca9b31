//! What of the walls stands, for whoever only looks: `check --network`.
//!
//! Way: [`Raised`] is noted by the agent -> in that namespace, [`survey`] compares
//! as the watch does, and the rules with what the same text becomes in a network
//! namespace of its own.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    os::unix::fs::MetadataExt as _,
    path::Path,
    thread,
};

use clarateach_domain::{egress::Egress, ids::Slot, seat_net};
use ipnet::Ipv4Net;
use rtnetlink::packet_route::address::AddressAttribute;
use serde::{Deserialize, Serialize};

use super::{
    NetworkError, RuleSettings, bridge,
    learnt::Open,
    look::{self, Amiss},
    netlink::{Netlink, Seen},
    nft, rules, walls,
};
use crate::{rundir::replace, sys};

/// Where an agent raised its walls, and what of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Raised {
    /// The interface towards the internet.
    pub(crate) uplink: String,
    /// Closed beside what always is.
    pub(crate) closed: Vec<Ipv4Net>,
    /// Device and inode of the network namespace.
    pub(crate) namespace: (u64, u64),
}

impl Raised {
    /// Notes the calling thread's namespace. Blocks.
    pub(crate) fn note(settings: &RuleSettings, at: &Path) -> Result<(), NetworkError> {
        let write = || {
            let here = fs::metadata("/proc/thread-self/ns/net")?;
            let raised = Self {
                uplink: settings.uplink.clone(),
                closed: settings.closed.clone(),
                namespace: (here.dev(), here.ino()),
            };
            replace(at, &serde_json::to_vec(&raised)?, false)
        };
        write().map_err(|cause| NetworkError::Note {
            path: at.to_owned(),
            cause,
        })
    }

    /// What was noted last. Blocks.
    pub(crate) fn read(at: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(at)?)?)
    }
}

/// The policy that is to be in force: nobody's word lets nothing out. Blocks.
pub(crate) fn policy(note: &Path) -> Egress {
    walls::note::read(note).unwrap_or(Egress::None)
}

/// What stands and what does not, in people's words; an empty list is all well.
#[derive(Debug, Default)]
pub(crate) struct Surveyed {
    /// How the rule set differs from what it must be.
    pub(crate) rules: Vec<String>,
    /// Whether what no rule lets through is dropped.
    pub(crate) drops: bool,
    /// The bridge.
    pub(crate) bridge: Vec<String>,
    /// Kernel switches, IPv6 apart.
    pub(crate) switches: Vec<String>,
    /// Where IPv6 is on.
    pub(crate) ipv6: Vec<String>,
    /// What ports are without.
    pub(crate) pins: Vec<String>,
    /// Forwarding entries that are missing or somebody else's.
    pub(crate) forwarding: Vec<String>,
    /// Neighbours that are missing or somebody else's.
    pub(crate) neighbours: Vec<String>,
    /// The ports that are up.
    pub(crate) ports: Vec<Slot>,
    /// The worker's own addresses, loopback apart.
    pub(crate) addresses: Vec<Ipv4Addr>,
}

/// Looks at all of it in the calling thread's namespace. Blocks.
pub(crate) fn survey(raised: &Raised, egress: &Egress) -> Result<Surveyed, NetworkError> {
    let at = |act| move |cause| NetworkError::Bridge { act, cause };
    let mut found = Surveyed::default();
    let standing = nft::standing()?;
    let expected = expected(raised, egress)?;
    if standing != expected {
        found.rules.push(nft::difference(&expected, &standing));
    }
    found.drops = drops(&standing);
    let seen = Netlink::open()
        .and_then(|mut netlink| netlink.all())
        .map_err(at("look at the state"))?;
    found.bridge.extend(bridge::wrong(&seen));
    found.ports = look::up_ports(&seen).map(|(slot, _)| slot).collect();
    found.addresses = addresses(&seen);
    for amiss in look::switches() {
        found.sort(&amiss);
    }
    let bridge = seen.index(seat_net::BRIDGE).unwrap_or(0);
    for (slot, link) in look::up_ports(&seen) {
        for amiss in look::port(bridge, slot, link, &seen) {
            found.sort(&amiss);
        }
    }
    for amiss in look::foreign(bridge, &seen) {
        found.sort(&amiss);
    }
    Ok(found)
}

impl Surveyed {
    fn sort(&mut self, amiss: &Amiss) {
        let list = match amiss {
            Amiss::Switch(path, ..) if path.contains("/ipv6/") => &mut self.ipv6,
            Amiss::Ipv6(_) => &mut self.ipv6,
            Amiss::Switch(..) => &mut self.switches,
            Amiss::OffBridge(_) | Amiss::Unpinned(..) => &mut self.pins,
            Amiss::NoEntry(_) | Amiss::Entry(..) => &mut self.forwarding,
            Amiss::NoNeighbour(_) | Amiss::Neighbour(_) => &mut self.neighbours,
        };
        list.push(amiss.to_string());
    }
}

/// What the kernel says of the same rules where nobody else was. On a thread of
/// its own, which takes that namespace with it.
fn expected(raised: &Raised, egress: &Egress) -> Result<String, NetworkError> {
    let settings = RuleSettings {
        uplink: raised.uplink.clone(),
        closed: raised.closed.clone(),
    };
    let text = rules::render(&settings, egress, &Open::new());
    let tried = thread::spawn(move || {
        let failed = |error: io::Error| NetworkError::Rules(error.to_string());
        sys::unshare_network().map_err(failed)?;
        nft::apply(&text)?;
        nft::standing()
    });
    let panicked = |_| Err(NetworkError::Rules("the trial panicked".to_owned()));
    tried.join().unwrap_or_else(panicked)
}

/// Whether the inet table's forward chain drops what it does not know.
fn drops(standing: &str) -> bool {
    let hook = |line: &&str| line.contains("type filter hook forward");
    standing
        .split("table inet clarateach")
        .nth(1)
        .and_then(|table| table.lines().find(hook))
        .is_some_and(|line| line.contains("policy drop;"))
}

fn addresses(seen: &Seen) -> Vec<Ipv4Addr> {
    let local = seen
        .addresses
        .iter()
        .flat_map(|address| &address.attributes)
        .filter_map(|attribute| match attribute {
            AddressAttribute::Local(IpAddr::V4(local)) => Some(*local),
            _ => None,
        });
    local.filter(|local| !local.is_loopback()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_of_another_table_is_not_ours() {
        let ours = "table inet clarateach {\n chain forward {\n  type filter hook forward \
                    priority filter; policy drop;\n";
        assert!(drops(ours));
        let bridge = "table bridge clarateach {\n chain forward {\n  type filter hook forward \
                      priority -200; policy drop;\n";
        assert!(!drops(bridge));
        assert!(!drops(&format!(
            "{bridge}{}",
            ours.replace("drop", "accept")
        )));
        assert!(!drops("no table inet clarateach\n"));
    }

    #[test]
    fn a_note_is_read_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let at = dir.path().join("walls.json");
        let settings = RuleSettings {
            uplink: "up0".to_owned(),
            closed: vec!["203.0.113.9/32".parse().unwrap()],
        };
        Raised::note(&settings, &at).unwrap();
        let read = Raised::read(&at).unwrap();
        assert_eq!(
            (read.uplink, read.closed),
            (settings.uplink, settings.closed)
        );
        assert!(read.namespace.1 > 0);
    }
}
