//! What the kernel is told of one port, as messages from pure functions.

use std::{
    net::Ipv4Addr,
    os::fd::{AsRawFd as _, OwnedFd},
};

use clarateach_domain::{ids::Slot, seat_net};
use rtnetlink::packet_route::{
    AddressFamily,
    address::{AddressAttribute, AddressMessage},
    link::{
        InfoBridgePort, InfoData, InfoKind, InfoPortData, InfoPortKind, InfoVeth, LinkAttribute,
        LinkInfo, LinkMessage,
    },
    neighbour::{
        NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
    },
};

/// The pair: our end on the bridge and down, the other one in the namespace.
pub(super) fn pair(bridge_index: u32, slot: Slot, namespace: &OwnedFd) -> LinkMessage {
    let mut peer = LinkMessage::default();
    peer.attributes = vec![
        LinkAttribute::IfName("eth0".to_owned()),
        LinkAttribute::Address(seat_net::mac(slot).to_vec()),
        LinkAttribute::NetNsFd(namespace.as_raw_fd()),
    ];
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(seat_net::port_name(slot)),
        LinkAttribute::Controller(bridge_index),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Veth),
            LinkInfo::Data(InfoData::Veth(InfoVeth::Peer(peer))),
        ]),
    ];
    message
}

/// The port's switches: it meets no other port and teaches the bridge nothing.
pub(in super::super) const PINS: [InfoBridgePort; 8] = [
    InfoBridgePort::Isolated(true),
    InfoBridgePort::Learning(false),
    InfoBridgePort::UnicastFlood(false),
    InfoBridgePort::MulticastFlood(false),
    InfoBridgePort::BroadcastFlood(false),
    InfoBridgePort::HairpinMode(false),
    InfoBridgePort::Guard(true),
    InfoBridgePort::Protect(true),
];

/// Sets them, as a `NewLink` without a flag: of a `SetLink` the kernel takes the
/// message and leaves these out (`rtnl_newlink` alone reads `IFLA_INFO_SLAVE_DATA`).
pub(in super::super) fn pinned(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![LinkAttribute::LinkInfo(vec![
        LinkInfo::PortKind(InfoPortKind::Bridge),
        LinkInfo::PortData(InfoPortData::BridgePort(PINS.to_vec())),
    ])];
    message
}

/// Puts a link on the bridge.
pub(in super::super) fn on(bridge: u32, index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![LinkAttribute::Controller(bridge)];
    message
}

/// The static forwarding entry, in place of learning.
pub(in super::super) fn entry(index: u32, slot: Slot) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Bridge;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Noarp;
    message.header.flags = NeighbourFlags::Controller;
    message.attributes = vec![NeighbourAttribute::LinkLayerAddress(
        seat_net::mac(slot).to_vec(),
    )];
    message
}

/// A permanent neighbour: nobody is asked, so nobody can answer falsely.
pub(in super::super) fn neighbour(index: u32, address: Ipv4Addr, mac: [u8; 6]) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.ifindex = index;
    message.header.state = NeighbourState::Permanent;
    message.attributes = vec![
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)),
        NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
    ];
    message
}

/// The seat's own address.
pub(super) fn address(index: u32, slot: Slot) -> AddressMessage {
    let address = seat_net::address(slot);
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = seat_net::PREFIX;
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(address.into()),
        AddressAttribute::Address(address.into()),
    ];
    message
}
