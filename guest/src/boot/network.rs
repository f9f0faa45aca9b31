//! The MicroVM's one interface, as the agent says, and its loopback.
//!
//! A repeat leaves the machine as it is. A restored machine has the interface
//! of its snapshot, down and without an address.

use std::{io, net::Ipv4Addr};

use anyhow::{Context as _, anyhow};
use clarateach_proto::guest::Interface;
use rtnetlink::{
    RouteMessageBuilder,
    packet_core::{
        NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage,
        NetlinkPayload,
    },
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressMessage},
        link::{LinkAttribute, LinkFlags, LinkMessage},
        neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState},
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};
use rustix::net::netdevice::name_to_index;

/// Brings up `lo` and `eth0` with what the agent chose.
pub(crate) fn bring_up(wanted: &Interface) -> anyhow::Result<()> {
    let address: Ipv4Addr = wanted.address.parse().context("the address is none")?;
    let gateway: Ipv4Addr = wanted.gateway.parse().context("the gateway is none")?;
    let mac = hardware_address(&wanted.mac).context("the hardware address is none")?;
    let gateway_mac =
        hardware_address(&wanted.gateway_mac).context("the gateway's hardware address is none")?;
    let prefix = u8::try_from(wanted.prefix)
        .ok()
        .filter(|bits| *bits <= 32)
        .ok_or_else(|| anyhow!("{} is no prefix's length", wanted.prefix))?;

    let mut netlink = Netlink::open().context("could not open a netlink socket")?;
    let (lo, eth0) = (index_of("lo")?, index_of("eth0")?);
    netlink
        .act(RouteNetlinkMessage::SetLink(up(lo, None)), 0)
        .context("could not bring up the loopback")?;
    netlink
        .act(RouteNetlinkMessage::SetLink(up(eth0, Some(mac))), 0)
        .context("could not bring up eth0")?;
    let replace = NLM_F_CREATE | NLM_F_REPLACE;
    netlink
        .act(
            RouteNetlinkMessage::NewAddress(address_of(eth0, address, prefix)),
            replace,
        )
        .context("could not set the address")?;
    netlink
        .act(
            RouteNetlinkMessage::NewNeighbour(neighbour(eth0, gateway, gateway_mac)),
            replace,
        )
        .context("could not write the gateway's neighbour entry")?;
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(gateway)
        .output_interface(eth0)
        .build();
    netlink
        .act(RouteNetlinkMessage::NewRoute(route), replace)
        .context("could not set the default route")
}

fn index_of(name: &str) -> anyhow::Result<u32> {
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        None,
    )
    .context("could not make a socket")?;
    name_to_index(socket, name).with_context(|| format!("there is no interface {name}"))
}

fn up(index: u32, mac: Option<[u8; 6]>) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
        .attributes
        .extend(mac.map(|mac| LinkAttribute::Address(mac.to_vec())));
    message
}

fn address_of(index: u32, address: Ipv4Addr, prefix: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = prefix;
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(address.into()),
        AddressAttribute::Address(address.into()),
    ];
    message
}

/// Permanent: nobody is asked, so nobody can answer falsely.
fn neighbour(index: u32, address: Ipv4Addr, mac: [u8; 6]) -> NeighbourMessage {
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

fn hardware_address(text: &str) -> Option<[u8; 6]> {
    let mut bytes = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut bytes {
        let part = parts.next().filter(|part| part.len() == 2)?;
        *byte = u8::from_str_radix(part, 16).ok()?;
    }
    parts.next().is_none().then_some(bytes)
}

/// A socket to the kernel's routing tables that asks and waits.
struct Netlink(Socket);

impl Netlink {
    fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self(socket))
    }

    fn act(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.0.send(&bytes, 0)?;
        // One request, one acknowledgement: nobody else speaks on this socket.
        let (answer, _kernel) = self.0.recv_from_full()?;
        let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(&answer)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_is_six_pairs_of_hex() {
        let good = Some([0x02, 0xc1, 0xa2, 0, 0, 0xc8]);
        for (text, want) in [
            ("02:c1:a2:00:00:c8", good),
            ("02:C1:A2:00:00:C8", good),
            ("02:c1:a2:00:00", None),
            ("02:c1:a2:00:00:c8:00", None),
            ("2:c1:a2:00:00:c8", None),
            ("02:c1:a2:00:00:zz", None),
            ("", None),
        ] {
            assert_eq!(hardware_address(text), want, "{text}");
        }
    }
}
