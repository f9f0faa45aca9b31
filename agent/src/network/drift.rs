//! Bridge, ports, neighbours and kernel switches, compared with what they must
//! be and put right. The rules are `walls`' own.
//!
//! A port that is down is being made or removed by its owner: only ports that
//! are up are looked at.

use std::{fs, net::Ipv4Addr};

use clarateach_domain::{ids::Slot, seat_net};
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{
        RouteNetlinkMessage,
        link::{InfoPortData, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
        neighbour::{
            NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
        },
    },
};

use super::{
    NetworkError,
    bridge::{self, SWITCHES, switch},
    netlink::{Netlink, Seen},
    ports::{PINS, entry, neighbour, on, pinned, port},
    shape::Shapes,
};

/// Puts right what is not as it must be, and says what was not.
pub(super) fn mend(shapes: &Shapes, found: &mut Vec<String>) -> Result<(), NetworkError> {
    switches(found)?;
    let at = |act| move |cause| NetworkError::Bridge { act, cause };
    let mut netlink = Netlink::open().map_err(at("open the netlink socket"))?;
    let mut seen = netlink.all().map_err(at("look at the state"))?;
    let wrong = bridge::wrong(&seen);
    if let Some(wrong) = wrong {
        found.push(wrong);
        bridge::ensure()?;
        seen = netlink.all().map_err(at("look at the state"))?;
    }
    let Some(bridge) = seen.index(seat_net::BRIDGE) else {
        return Ok(()); // made anew by the next look
    };
    for (slot, link) in up_ports(&seen) {
        let mut of_port = Vec::new();
        let mended = mend_port(&mut netlink, bridge, slot, link, &seen, &mut of_port)
            .and_then(|()| mend_shape(shapes, &mut netlink, slot, link, &mut of_port));
        // Its owner may have removed it since it was seen: then nothing was wrong.
        if of_port.is_empty() || is_there(&mut netlink, slot, link)? {
            found.append(&mut of_port);
            mended?;
        }
    }
    foreign_neighbours(&mut netlink, bridge, &seen, found).map_err(at("remove a neighbour"))
}

/// Whether this very port is still there.
fn is_there(netlink: &mut Netlink, slot: Slot, link: &LinkMessage) -> Result<bool, NetworkError> {
    let now = netlink.link_index(&seat_net::port_name(slot));
    let now = now.map_err(port(slot, "look for the port"))?;
    Ok(now == Some(link.header.index))
}

fn switches(found: &mut Vec<String>) -> Result<(), NetworkError> {
    for (path, value) in SWITCHES {
        // One that this kernel does not have has nothing to switch off.
        let Ok(now) = fs::read_to_string(path) else {
            continue;
        };
        if now.trim() != value {
            found.push(format!("{path} was {}", now.trim()));
            switch(path, value)?;
        }
    }
    Ok(())
}

fn up_ports(seen: &Seen) -> impl Iterator<Item = (Slot, &LinkMessage)> {
    seen.links.iter().filter_map(|link| {
        let number = name(link)?.strip_prefix("ctp")?.parse::<u32>().ok()?;
        let up = link.header.flags.contains(LinkFlags::Up);
        Some((Slot::try_from(number).ok().filter(|_| up)?, link))
    })
}

fn mend_port(
    netlink: &mut Netlink,
    bridge: u32,
    slot: Slot,
    link: &LinkMessage,
    seen: &Seen,
    found: &mut Vec<String>,
) -> Result<(), NetworkError> {
    let at = |act| port(slot, act);
    let (index, name) = (link.header.index, seat_net::port_name(slot));
    let create = NLM_F_CREATE | NLM_F_REPLACE;
    let on_bridge = link
        .attributes
        .iter()
        .any(|a| matches!(a, LinkAttribute::Controller(of) if *of == bridge));
    if !on_bridge {
        found.push(format!("port {name} was not on the bridge"));
        netlink
            .act(RouteNetlinkMessage::SetLink(on(bridge, index)), 0)
            .map_err(at("put the port on the bridge"))?;
    }
    let unpinned = unpinned(link);
    if !unpinned.is_empty() {
        if on_bridge {
            found.push(format!("port {name} was not {}", unpinned.join(", ")));
        }
        netlink
            .act(RouteNetlinkMessage::NewLink(pinned(index)), 0)
            .map_err(at("isolate the port"))?;
    }
    let own = (index, seat_net::mac(slot).to_vec());
    if !seen
        .forwarding
        .iter()
        .any(|e| (e.header.ifindex, mac(e)) == (own.0, Some(&own.1)))
    {
        found.push(format!("port {name} had no forwarding entry"));
        netlink
            .act(
                RouteNetlinkMessage::NewNeighbour(entry(index, slot)),
                create,
            )
            .map_err(at("write the forwarding entry"))?;
    }
    let address = seat_net::address(slot);
    let there = seen.neighbours.iter().any(|n| {
        n.header.ifindex == bridge
            && inet(n) == Some(address)
            && mac(n) == Some(&own.1)
            && n.header.state == NeighbourState::Permanent
    });
    if !there {
        found.push(format!("{address} was no permanent neighbour"));
        let neighbour = neighbour(bridge, address, seat_net::mac(slot));
        netlink
            .act(RouteNetlinkMessage::NewNeighbour(neighbour), create)
            .map_err(at("write the neighbour"))?;
    }
    Ok(())
}

fn mend_shape(
    shapes: &Shapes,
    netlink: &mut Netlink,
    slot: Slot,
    link: &LinkMessage,
    found: &mut Vec<String>,
) -> Result<(), NetworkError> {
    if shapes.mend(netlink, slot, link)? {
        let name = seat_net::port_name(slot);
        found.push(format!("port {name} had no limit"));
    }
    Ok(())
}

/// What somebody put beside our entries, on the bridge or on a port.
fn foreign_neighbours(
    netlink: &mut Netlink,
    bridge: u32,
    seen: &Seen,
    found: &mut Vec<String>,
) -> std::io::Result<()> {
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
            found.push(format!("{address} was a neighbour at {}", text(mac)));
            remove(netlink, entry.clone())?;
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
                found.push(format!("{} was forwarded to seat slot {slot}", text(mac)));
                let mut gone = entry.clone();
                gone.header.flags |= NeighbourFlags::Controller;
                remove(netlink, gone)?;
            }
        }
    }
    Ok(())
}

/// Gone already is removed: an entry moved when its right place was mended.
fn remove(netlink: &mut Netlink, entry: NeighbourMessage) -> std::io::Result<()> {
    match netlink.act(RouteNetlinkMessage::DelNeighbour(entry), 0) {
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

fn slots() -> impl Iterator<Item = Slot> {
    (1..=u32::from(Slot::MAX)).filter_map(|slot| Slot::try_from(slot).ok())
}

/// Which switches of [`pinned`] the port has not, for people.
fn unpinned(link: &LinkMessage) -> Vec<String> {
    let infos = link.attributes.iter().find_map(|a| match a {
        LinkAttribute::LinkInfo(infos) => Some(infos),
        _ => None,
    });
    let now = infos.into_iter().flatten().find_map(|info| match info {
        LinkInfo::PortData(InfoPortData::BridgePort(now)) => Some(now.as_slice()),
        _ => None,
    });
    let missing = PINS
        .iter()
        .filter(|pin| !now.unwrap_or_default().contains(pin));
    missing.map(|pin| format!("{pin:?}")).collect()
}

/// The link's name.
pub(super) fn name(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|a| match a {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
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

fn text(mac: &[u8]) -> String {
    let bytes: Vec<_> = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(":")
}
