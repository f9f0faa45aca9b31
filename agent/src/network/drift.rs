//! Puts right what `look` finds amiss. The rules are `walls`' own.

use clarateach_domain::{ids::Slot, seat_net};
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{
        RouteNetlinkMessage,
        link::LinkMessage,
        neighbour::{NeighbourFlags, NeighbourMessage},
    },
};

use super::{
    NetworkError,
    bridge::{self, switch},
    look::{self, Amiss},
    netlink::{Netlink, Seen},
    ports::{
        messages::{entry, neighbour, on, pinned},
        port,
    },
    shape::Shapes,
};

/// Puts right what is not as it must be, and says what was not.
pub(super) fn mend(shapes: &Shapes, found: &mut Vec<String>) -> Result<(), NetworkError> {
    let at = |act| move |cause| NetworkError::Bridge { act, cause };
    for amiss in look::switches() {
        found.push(amiss.to_string());
        if let Amiss::Switch(path, _, value) = amiss {
            switch(path, value)?;
        }
    }
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
    for (slot, link) in look::up_ports(&seen) {
        let amiss = look::port(bridge, slot, link, &seen);
        let mut of_port: Vec<_> = amiss.iter().map(ToString::to_string).collect();
        let mended = amiss
            .iter()
            .try_for_each(|amiss| mend_port(&mut netlink, bridge, slot, link, amiss))
            .and_then(|()| mend_shape(shapes, &mut netlink, slot, (link, &seen), &mut of_port));
        // Its owner may have removed it since it was seen: then nothing was wrong.
        if (of_port.is_empty() && mended.is_ok()) || is_there(&mut netlink, slot, link)? {
            found.append(&mut of_port);
            mended?;
        }
    }
    for amiss in look::foreign(bridge, &seen) {
        found.push(amiss.to_string());
        remove(&mut netlink, amiss).map_err(at("remove a neighbour"))?;
    }
    Ok(())
}

/// Whether this very port is still there.
fn is_there(netlink: &mut Netlink, slot: Slot, link: &LinkMessage) -> Result<bool, NetworkError> {
    let now = netlink.link_index(&seat_net::port_name(slot));
    let now = now.map_err(port(slot, "look for the port"))?;
    Ok(now == Some(link.header.index))
}

fn mend_port(
    netlink: &mut Netlink,
    bridge: u32,
    slot: Slot,
    link: &LinkMessage,
    amiss: &Amiss,
) -> Result<(), NetworkError> {
    let at = |act| port(slot, act);
    let index = link.header.index;
    let create = NLM_F_CREATE | NLM_F_REPLACE;
    if let Amiss::OffBridge(_) = amiss {
        netlink
            .act(RouteNetlinkMessage::SetLink(on(bridge, index)), 0)
            .map_err(at("put the port on the bridge"))?;
    }
    match amiss {
        Amiss::Ipv6(_) => switch(&look::ipv6_switch(slot), "1"),
        Amiss::OffBridge(_) | Amiss::Unpinned(..) => netlink
            .act(RouteNetlinkMessage::NewLink(pinned(index)), 0)
            .map_err(at("isolate the port")),
        Amiss::NoEntry(_) => netlink
            .act(
                RouteNetlinkMessage::NewNeighbour(entry(index, slot)),
                create,
            )
            .map_err(at("write the forwarding entry")),
        Amiss::NoNeighbour(_) => {
            let neighbour = neighbour(bridge, seat_net::address(slot), seat_net::mac(slot));
            netlink
                .act(RouteNetlinkMessage::NewNeighbour(neighbour), create)
                .map_err(at("write the neighbour"))
        }
        // Not a port's.
        Amiss::Switch(..) | Amiss::Neighbour(_) | Amiss::Entry(..) => Ok(()),
    }
}

fn mend_shape(
    shapes: &Shapes,
    netlink: &mut Netlink,
    slot: Slot,
    (link, seen): (&LinkMessage, &Seen),
    found: &mut Vec<String>,
) -> Result<(), NetworkError> {
    if let Some(what) = shapes.mend(netlink, slot, link.header.index, &seen.queues)? {
        found.push(format!("port {} had {what}", seat_net::port_name(slot)));
    }
    Ok(())
}

/// Gone already is removed: an entry moved when its right place was mended.
fn remove(netlink: &mut Netlink, amiss: Amiss) -> std::io::Result<()> {
    let entry: NeighbourMessage = match amiss {
        Amiss::Neighbour(entry) => entry,
        Amiss::Entry(_, mut entry) => {
            entry.header.flags |= NeighbourFlags::Controller;
            entry
        }
        // Nothing to remove.
        Amiss::Switch(..)
        | Amiss::Ipv6(_)
        | Amiss::OffBridge(_)
        | Amiss::Unpinned(..)
        | Amiss::NoEntry(_)
        | Amiss::NoNeighbour(_) => return Ok(()),
    };
    match netlink.act(RouteNetlinkMessage::DelNeighbour(entry), 0) {
        Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}
