//! The MicroVM's one interface, as the agent says, and its loopback.
//!
//! A repeat leaves the machine as it is. A restored machine has the interface
//! of its snapshot, down and without an address.

use std::{convert::Infallible, fs, io, net::Ipv4Addr};

use anyhow::{Context as _, anyhow};
use clarateach_proto::guest::Interface;
use libc::{
    IFA_ADDRESS, IFA_LOCAL, IFLA_ADDRESS, NDA_DST, NDA_LLADDR, RTA_GATEWAY, RTA_OIF, RTM_NEWADDR,
    RTM_NEWNEIGH, RTM_NEWROUTE, RTM_SETLINK,
};
use rtnetlink::{
    packet_core::{
        DefaultNla, Emitable, NLM_F_ACK, NLM_F_CREATE, NLM_F_REPLACE, NLM_F_REQUEST,
        NetlinkDeserializable, NetlinkHeader, NetlinkMessage, NetlinkPayload, NetlinkSerializable,
    },
    packet_route::{
        AddressFamily,
        address::AddressHeader,
        link::{LinkFlags, LinkHeader},
        neighbour::{NeighbourHeader, NeighbourState},
        route::{RouteHeader, RouteProtocol, RouteType},
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
        .act(&up(lo, None), 0)
        .context("could not bring up the loopback")?;
    netlink
        .act(&up(eth0, Some(mac)), 0)
        .context("could not bring up eth0")?;
    let replace = NLM_F_CREATE | NLM_F_REPLACE;
    netlink
        .act(&address_of(eth0, address, prefix), replace)
        .context("could not set the address")?;
    netlink
        .act(&neighbour(eth0, gateway, gateway_mac), replace)
        .context("could not write the gateway's neighbour entry")?;
    netlink
        .act(&default_route(eth0, gateway), replace)
        .context("could not set the default route")
}

/// As in a container: learners may ping and serve on low ports.
pub(super) fn set_switches() -> anyhow::Result<()> {
    for (switch, value) in [
        ("ping_group_range", "0 2147483647"),
        ("ip_unprivileged_port_start", "0"),
    ] {
        fs::write(format!("/proc/sys/net/ipv4/{switch}"), value)
            .with_context(|| format!("could not set {switch}"))?;
    }
    Ok(())
}

/// Brings up `lo` alone.
pub(crate) fn loopback_up() -> anyhow::Result<()> {
    let mut netlink = Netlink::open().context("could not open a netlink socket")?;
    netlink
        .act(&up(index_of("lo")?, None), 0)
        .context("could not bring up the loopback")
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

fn up(index: u32, mac: Option<[u8; 6]>) -> Wish<LinkHeader> {
    let header = LinkHeader {
        index,
        flags: LinkFlags::Up,
        change_mask: LinkFlags::Up,
        ..LinkHeader::default()
    };
    let wish = Wish::new(RTM_SETLINK, header);
    match mac {
        Some(mac) => wish.with(IFLA_ADDRESS, &mac),
        None => wish,
    }
}

fn address_of(index: u32, address: Ipv4Addr, prefix: u8) -> Wish<AddressHeader> {
    let header = AddressHeader {
        family: AddressFamily::Inet,
        prefix_len: prefix,
        index,
        ..AddressHeader::default()
    };
    Wish::new(RTM_NEWADDR, header)
        .with(IFA_LOCAL, &address.octets())
        .with(IFA_ADDRESS, &address.octets())
}

/// Permanent: nobody is asked, so nobody can answer falsely.
fn neighbour(index: u32, address: Ipv4Addr, mac: [u8; 6]) -> Wish<NeighbourHeader> {
    let header = NeighbourHeader {
        family: AddressFamily::Inet,
        ifindex: index,
        state: NeighbourState::Permanent,
        ..NeighbourHeader::default()
    };
    Wish::new(RTM_NEWNEIGH, header)
        .with(NDA_DST, &address.octets())
        .with(NDA_LLADDR, &mac)
}

fn default_route(index: u32, gateway: Ipv4Addr) -> Wish<RouteHeader> {
    let header = RouteHeader {
        address_family: AddressFamily::Inet,
        table: RouteHeader::RT_TABLE_MAIN,
        protocol: RouteProtocol::Static,
        kind: RouteType::Unicast,
        ..RouteHeader::default()
    };
    Wish::new(RTM_NEWROUTE, header)
        .with(RTA_GATEWAY, &gateway.octets())
        .with(RTA_OIF, &index.to_ne_bytes())
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

    fn act<H: Emitable>(&mut self, wish: &Wish<H>, flags: u16) -> io::Result<()> {
        self.0.send(&wish.request(flags), 0)?;
        // One request, one acknowledgement: nobody else speaks on this socket.
        let (answer, _kernel) = self.0.recv_from_full()?;
        let answer = NetlinkMessage::<Unread>::deserialize(&answer)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        match answer.payload {
            NetlinkPayload::Error(error) if error.code.is_some() => Err(error.to_io()),
            _ => Ok(()),
        }
    }
}

/// What the kernel is asked to do, put together from the library's parts: its
/// union of all messages brings the code of every one the kernel knows, a tenth
/// of this binary, which every seat holds in memory.
struct Wish<H> {
    kind: u16,
    header: H,
    attributes: Vec<DefaultNla>,
}

impl<H: Emitable> Wish<H> {
    fn new(kind: u16, header: H) -> Self {
        Self {
            kind,
            header,
            attributes: Vec::new(),
        }
    }

    fn with(mut self, kind: u16, value: &[u8]) -> Self {
        self.attributes.push(DefaultNla::new(kind, value.to_vec()));
        self
    }

    fn request(&self, flags: u16) -> Vec<u8> {
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::InnerMessage(self));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        bytes
    }
}

impl<H: Emitable> NetlinkSerializable for &Wish<H> {
    fn message_type(&self) -> u16 {
        self.kind
    }

    fn buffer_len(&self) -> usize {
        self.header.buffer_len() + self.attributes.as_slice().buffer_len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        let (header, attributes) = buffer.split_at_mut(self.header.buffer_len());
        self.header.emit(header);
        self.attributes.as_slice().emit(attributes);
    }
}

/// An answer's content: only whether the wish was granted is of interest.
struct Unread;

impl NetlinkDeserializable for Unread {
    type Error = Infallible;

    fn deserialize(_header: &NetlinkHeader, _payload: &[u8]) -> Result<Self, Infallible> {
        Ok(Self)
    }
}

#[cfg(test)]
mod tests {
    use std::{env, process::Command};

    use rtnetlink::{
        RouteMessageBuilder,
        packet_route::{
            RouteNetlinkMessage,
            address::{AddressAttribute, AddressMessage},
            link::{LinkAttribute, LinkMessage},
            neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage},
        },
    };

    use super::*;

    #[test]
    fn the_kernel_is_asked_as_the_librarys_own_messages_ask() {
        let (mac, address, gateway) = (
            [2, 0xc1, 0xa2, 0, 0, 0xc8],
            Ipv4Addr::new(192, 0, 2, 13),
            Ipv4Addr::new(192, 0, 2, 1),
        );
        let mut link = LinkMessage::default();
        link.header = up(3, None).header;
        let bare = RouteNetlinkMessage::SetLink(link.clone());
        link.attributes = vec![LinkAttribute::Address(mac.to_vec())];
        let mut address_message = AddressMessage::default();
        address_message.header = address_of(3, address, 24).header;
        address_message.attributes = vec![
            AddressAttribute::Local(address.into()),
            AddressAttribute::Address(address.into()),
        ];
        let mut neighbour_message = NeighbourMessage::default();
        neighbour_message.header = neighbour(3, gateway, mac).header;
        neighbour_message.attributes = vec![
            NeighbourAttribute::Destination(NeighbourAddress::Inet(gateway)),
            NeighbourAttribute::LinkLayerAddress(mac.to_vec()),
        ];
        let route = RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(gateway)
            .output_interface(3)
            .build();
        let flags = NLM_F_CREATE | NLM_F_REPLACE;
        for (what, ours, theirs) in [
            ("loopback", up(3, None).request(flags), bare),
            (
                "link",
                up(3, Some(mac)).request(flags),
                RouteNetlinkMessage::SetLink(link),
            ),
            (
                "address",
                address_of(3, address, 24).request(flags),
                RouteNetlinkMessage::NewAddress(address_message),
            ),
            (
                "neighbour",
                neighbour(3, gateway, mac).request(flags),
                RouteNetlinkMessage::NewNeighbour(neighbour_message),
            ),
            (
                "route",
                default_route(3, gateway).request(flags),
                RouteNetlinkMessage::NewRoute(route),
            ),
        ] {
            let mut header = NetlinkHeader::default();
            header.flags = NLM_F_REQUEST | NLM_F_ACK | flags;
            let mut request = NetlinkMessage::new(header, NetlinkPayload::from(theirs));
            request.finalize();
            let mut wanted = vec![0; request.buffer_len()];
            request.serialize(&mut wanted);
            assert_eq!(ours, wanted, "{what}");
        }
    }

    fn ip(args: &str) -> String {
        let ran = Command::new("ip").args(args.split(' ')).output().unwrap();
        assert!(ran.status.success(), "ip {args}: {ran:?}");
        String::from_utf8(ran.stdout).unwrap()
    }

    #[test]
    fn the_kernel_grants_it_grants_it_again_and_says_what_it_refuses() {
        const INSIDE: &str = "CLARATEACH_TEST_IN_A_NETWORK_NAMESPACE";
        const NAME: &str =
            "boot::network::tests::the_kernel_grants_it_grants_it_again_and_says_what_it_refuses";
        if env::var_os(INSIDE).is_none() {
            let can = Command::new("unshare")
                .args(["--net", "ip", "link"])
                .output();
            if !can.is_ok_and(|ran| ran.status.success()) {
                println!("SKIPPED: no network namespace can be made here (root, unshare, ip)");
                return;
            }
            // The namespace ends with the process.
            let ran = Command::new("unshare")
                .arg("--net")
                .arg(env::current_exe().unwrap())
                .args(["--exact", NAME, "--nocapture"])
                .env(INSIDE, "1")
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&ran.stdout);
            assert!(said.contains("1 passed"), "{ran:?}");
            return;
        }
        ip("link add eth0 type veth peer name peer0");
        let wanted = Interface {
            address: "192.0.2.13".into(),
            prefix: 24,
            gateway: "192.0.2.1".into(),
            mac: "02:c1:a2:00:00:c8".into(),
            gateway_mac: "02:c1:a2:00:00:01".into(),
        };
        for _ in 0..2 {
            bring_up(&wanted).unwrap();
            for (args, told) in [
                ("link show lo", "LOOPBACK,UP"),
                ("link show eth0", "02:c1:a2:00:00:c8"),
                ("-4 address show eth0", "192.0.2.13/24"),
                (
                    "neighbour show dev eth0",
                    "192.0.2.1 lladdr 02:c1:a2:00:00:01 PERMANENT",
                ),
                ("route show default", "default via 192.0.2.1 dev eth0"),
            ] {
                let said = ip(args);
                assert!(said.contains(told), "ip {args}: {said}");
            }
        }
        let elsewhere = Interface {
            gateway: "10.9.9.9".into(),
            ..wanted
        };
        let refused = format!("{:#}", bring_up(&elsewhere).unwrap_err());
        assert!(
            refused.starts_with("could not set the default route: "),
            "{refused}"
        );
    }

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
