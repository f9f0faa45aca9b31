//! Bridge, ports, neighbours and kernel switches, compared with what they must
//! be. Nothing is changed: `drift` mends what is found here, `check` tells it.
//!
//! A port that is down is being made or removed by its owner: only ports that
//! are up are looked at.

use std::{fmt, fs, net::Ipv4Addr};

use clarateach_domain::{ids::Slot, seat_net};
use rtnetlink::packet_route::{
    link::{InfoBridgePort, InfoPortData, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
    },
};

use super::{bridge::SWITCHES, netlink::Seen, ports::messages::PINS};

/// What is not as it must be; as text, for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Amiss {
    /// A kernel switch: where, what it is, what it must be.
    Switch(&'static str, String, &'static str),
    /// A port that speaks IPv6.
    Ipv6(Slot),
    /// A port on no bridge, or on another one; its pins went with it.
    OffBridge(Slot),
    /// What a port was found without.
    Unpinned(Slot, Vec<&'static str>),
    /// A port without its forwarding entry.
    NoEntry(Slot),
    /// A seat that is no permanent neighbour.
    NoNeighbour(Slot),
    /// Somebody else's neighbour on the bridge.
    Neighbour(NeighbourMessage),
    /// Somebody else's forwarding entry on the slot's port.
    Entry(Slot, NeighbourMessage),
}

impl fmt::Display for Amiss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let port = |slot: &Slot| seat_net::port_name(*slot);
        match self {
            Self::Switch(path, now, _) => write!(f, "{path} was {now}"),
            Self::Ipv6(slot) => write!(f, "port {} had IPv6", port(slot)),
            Self::OffBridge(slot) => write!(f, "port {} was not on the bridge", port(slot)),
            Self::Unpinned(slot, pins) => {
                write!(f, "port {} was not {}", port(slot), pins.join(", not "))
            }
            Self::NoEntry(slot) => write!(f, "port {} had no forwarding entry", port(slot)),
            Self::NoNeighbour(slot) => {
                write!(f, "{} was no permanent neighbour", seat_net::address(*slot))
            }
            Self::Neighbour(entry) => {
                let address = inet(entry).unwrap_or(Ipv4Addr::UNSPECIFIED);
                write!(f, "{address} was a neighbour at {}", text(entry))
            }
            Self::Entry(slot, entry) => {
                write!(f, "{} was forwarded to seat slot {slot}", text(entry))
            }
        }
    }
}

/// The kernel switches. One that this kernel does not have has nothing to switch
/// off.
pub(super) fn switches() -> Vec<Amiss> {
    let wrong = SWITCHES.iter().filter_map(|&(path, value)| {
        let now = fs::read_to_string(path).ok()?;
        let now = now.trim();
        (now != value).then(|| Amiss::Switch(path, now.to_owned(), value))
    });
    wrong.collect()
}

/// Where a port's IPv6 is switched off.
pub(super) fn ipv6_switch(slot: Slot) -> String {
    let name = seat_net::port_name(slot);
    format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6")
}

/// The ports that are up.
pub(super) fn up_ports(seen: &Seen) -> impl Iterator<Item = (Slot, &LinkMessage)> {
    seen.links.iter().filter_map(|link| {
        let number = name(link)?.strip_prefix("ctp")?.parse::<u32>().ok()?;
        let up = link.header.flags.contains(LinkFlags::Up);
        Some((Slot::try_from(number).ok().filter(|_| up)?, link))
    })
}

/// One port and what the bridge knows of its seat.
pub(super) fn port(bridge: u32, slot: Slot, link: &LinkMessage, seen: &Seen) -> Vec<Amiss> {
    let mut amiss = Vec::new();
    if fs::read_to_string(ipv6_switch(slot)).is_ok_and(|off| off.trim() != "1") {
        amiss.push(Amiss::Ipv6(slot));
    }
    let on_bridge = link
        .attributes
        .iter()
        .any(|a| matches!(a, LinkAttribute::Controller(of) if *of == bridge));
    let unpinned = unpinned(link);
    if !on_bridge {
        amiss.push(Amiss::OffBridge(slot));
    } else if !unpinned.is_empty() {
        amiss.push(Amiss::Unpinned(slot, unpinned));
    }
    let own = seat_net::mac(slot);
    let is_own = |entry: &NeighbourMessage| mac(entry).is_some_and(|mac| mac[..] == own);
    let forwarded = |e: &NeighbourMessage| e.header.ifindex == link.header.index && is_own(e);
    if !seen.forwarding.iter().any(forwarded) {
        amiss.push(Amiss::NoEntry(slot));
    }
    let known = |n: &NeighbourMessage| {
        n.header.ifindex == bridge
            && inet(n) == Some(seat_net::address(slot))
            && is_own(n)
            && n.header.state == NeighbourState::Permanent
    };
    if !seen.neighbours.iter().any(known) {
        amiss.push(Amiss::NoNeighbour(slot));
    }
    amiss
}

/// What somebody put beside our entries, on the bridge or on a port.
pub(super) fn foreign(bridge: u32, seen: &Seen) -> Vec<Amiss> {
    let mut amiss = Vec::new();
    let kept = |n: &&NeighbourMessage| {
        matches!(
            n.header.state,
            NeighbourState::Permanent
                | NeighbourState::Noarp
                | NeighbourState::Reachable
                | NeighbourState::Stale
        )
    };
    for entry in seen.neighbours.iter().filter(kept) {
        let (Some(address), Some(mac)) = (inet(entry), mac(entry)) else {
            continue;
        };
        let is_seat =
            slots().any(|s| (seat_net::address(s), &seat_net::mac(s)[..]) == (address, mac));
        // Beside the bridge, this is none of ours.
        if entry.header.ifindex == bridge && !is_seat {
            amiss.push(Amiss::Neighbour(entry.clone()));
        }
    }
    for (slot, link) in up_ports(seen) {
        let own = link.attributes.iter().find_map(|a| match a {
            LinkAttribute::Address(own) => Some(own.as_slice()),
            _ => None,
        });
        for entry in &seen.forwarding {
            let Some(mac) = mac(entry) else { continue };
            let ours = mac[..] == seat_net::mac(slot) || Some(&mac[..]) == own;
            // The device's own list is no forwarding.
            let listed = entry.header.flags.contains(NeighbourFlags::Own);
            if entry.header.ifindex == link.header.index && !ours && !listed {
                amiss.push(Amiss::Entry(slot, entry.clone()));
            }
        }
    }
    amiss
}

/// The link's name.
pub(super) fn name(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|a| match a {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

fn slots() -> impl Iterator<Item = Slot> {
    (1..=u32::from(Slot::MAX)).filter_map(|slot| Slot::try_from(slot).ok())
}

/// Which of [`PINS`] the port has not.
fn unpinned(link: &LinkMessage) -> Vec<&'static str> {
    let infos = link.attributes.iter().find_map(|a| match a {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    let now = infos.into_iter().flatten().find_map(|info| match info {
        LinkInfo::PortData(InfoPortData::BridgePort(now)) => Some(now.as_slice()),
        _ => None,
    });
    let now = now.unwrap_or_default();
    let missing = PINS.iter().filter(|pin| !now.contains(pin));
    missing.map(in_words).collect()
}

/// What a pin makes of a port, to be read after "the port was not".
fn in_words(pin: &InfoBridgePort) -> &'static str {
    match pin {
        InfoBridgePort::Isolated(_) => "isolated from other ports",
        InfoBridgePort::Learning(_) => "kept from teaching the bridge addresses",
        InfoBridgePort::UnicastFlood(_) => "kept from frames for nobody known",
        InfoBridgePort::MulticastFlood(_) => "kept from multicast",
        InfoBridgePort::BroadcastFlood(_) => "kept from broadcasts",
        InfoBridgePort::HairpinMode(_) => "kept from its own frames",
        InfoBridgePort::Guard(_) => "kept from playing the bridge (BPDU guard)",
        InfoBridgePort::Protect(_) => "kept from leading the bridges (root guard)",
        _ => "pinned",
    }
}

fn mac(entry: &NeighbourMessage) -> Option<&Vec<u8>> {
    entry.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::LinkLayerAddress(mac) => Some(mac),
        _ => None,
    })
}

fn inet(entry: &NeighbourMessage) -> Option<Ipv4Addr> {
    entry.attributes.iter().find_map(|a| match a {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => Some(*address),
        _ => None,
    })
}

fn text(entry: &NeighbourMessage) -> String {
    let bytes = mac(entry).into_iter().flatten();
    let bytes: Vec<_> = bytes.map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn people_read_what_a_port_was_found_without() {
        let words: BTreeSet<_> = PINS.iter().map(in_words).collect();
        assert_eq!(words.len(), PINS.len(), "each has words of its own");
        assert!(!words.contains("pinned"));
        let slot = Slot::try_from(3).unwrap();
        let bare = LinkMessage::default();
        let told = Amiss::Unpinned(slot, unpinned(&bare)).to_string();
        let begin = "port ctp3 was not isolated from other ports, not kept from teaching";
        assert!(told.starts_with(begin), "{told}");
        assert!(!told.contains("true"), "{told}");
    }

    #[test]
    fn a_port_that_nothing_is_known_of_is_amiss_in_every_way() {
        let slot = Slot::try_from(3).unwrap();
        let found = port(7, slot, &LinkMessage::default(), &Seen::default());
        let all = [
            Amiss::OffBridge(slot),
            Amiss::NoEntry(slot),
            Amiss::NoNeighbour(slot),
        ];
        assert_eq!(found, all);
    }
}
