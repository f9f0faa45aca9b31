//! One MicroVM's port: the tap `ctp{slot}` on the bridge, which its VMM opens
//! without any privilege.
//!
//! It is made down, pinned as a container's port is, and comes up when the
//! guest has its identity: until then a clone could speak as its template.

use std::io;

use clarateach_domain::{ids::Slot, seat_net};
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_REPLACE},
    packet_route::{RouteNetlinkMessage, link::LinkMessage},
};

use super::{
    NetworkError,
    bridge::{switch, up},
    netlink::Netlink,
    ports::{
        close,
        messages::{entry, neighbour, on, pinned},
        port,
    },
    shape::Shapes,
};
use crate::sys;

/// A seat's tap, made and not yet in use. Dropped, it is removed.
#[derive(Debug)]
pub struct Tap {
    slot: Slot,
    kept: bool,
}

impl Tap {
    /// Makes it for the VMM of this uid and gid.
    pub(super) fn make(
        bridge: u32,
        slot: Slot,
        id: u32,
        shapes: &Shapes,
        mbits: u32,
    ) -> Result<Self, NetworkError> {
        // Left over from an earlier life, or somebody else's of that name.
        close(slot)?;
        let name = seat_net::port_name(slot);
        let at = |act| port(slot, act);
        sys::make_tap(&name, id).map_err(at("make the tap"))?;
        // From here on a failure takes the tap with it.
        let made = Self { slot, kept: false };
        switch(&format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1")?;
        let mut netlink = Netlink::open().map_err(at("open the netlink socket"))?;
        let index = netlink
            .link_index(&name)
            .and_then(|index| index.ok_or_else(|| io::ErrorKind::NotFound.into()))
            .map_err(at("find the tap"))?;
        netlink
            .act(RouteNetlinkMessage::SetLink(on(bridge, index)), 0)
            .map_err(at("put the tap on the bridge"))?;
        netlink
            .act(RouteNetlinkMessage::NewLink(pinned(index)), 0)
            .map_err(at("isolate the tap"))?;
        let create = NLM_F_CREATE | NLM_F_REPLACE;
        netlink
            .act(
                RouteNetlinkMessage::NewNeighbour(entry(index, slot)),
                create,
            )
            .map_err(at("write the forwarding entry"))?;
        let neighbour = neighbour(bridge, seat_net::address(slot), seat_net::mac(slot));
        netlink
            .act(RouteNetlinkMessage::NewNeighbour(neighbour), create)
            .map_err(at("write the neighbour"))?;
        shapes.port(&mut netlink, index, slot, mbits)?;
        Ok(made)
    }

    /// Leaves the tap to the VMM.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = close(self.slot)
        {
            tracing::warn!(slot = %self.slot, %error, "half-made tap was not removed");
        }
    }
}

/// Brings the slot's tap up.
pub(super) fn connect(slot: Slot) -> Result<(), NetworkError> {
    let at = |act| port(slot, act);
    let mut netlink = Netlink::open().map_err(at("open the netlink socket"))?;
    let index = netlink
        .link_index(&seat_net::port_name(slot))
        .and_then(|index| index.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(at("find the tap"))?;
    netlink
        .act(RouteNetlinkMessage::SetLink(up(index)), 0)
        .map_err(at("bring up the tap"))
}

/// A tap on no bridge, for a template that speaks to nobody. Removed when dropped.
#[derive(Debug)]
pub struct LooseTap {
    name: String,
}

impl LooseTap {
    /// Makes it under this name, at most 15 characters.
    pub(super) fn make(name: &str, id: u32) -> io::Result<Self> {
        remove(name)?;
        sys::make_tap(name, id)?;
        let name = name.to_owned();
        Ok(Self { name })
    }
}

impl Drop for LooseTap {
    fn drop(&mut self) {
        if let Err(error) = remove(&self.name) {
            tracing::warn!(tap = self.name, %error, "template's tap was not removed");
        }
    }
}

/// Removes a tap by name; gone already is removed.
pub(super) fn remove(name: &str) -> io::Result<()> {
    let mut netlink = Netlink::open()?;
    let Some(index) = netlink.link_index(name)? else {
        return Ok(());
    };
    let mut gone = LinkMessage::default();
    gone.header.index = index;
    netlink.act(RouteNetlinkMessage::DelLink(gone), 0)
}
