//! The matrix: which flows of a seat must end at the walls, and which are what a
//! seat is for.

use std::{
    collections::BTreeSet,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
};

use clarateach_domain::{
    egress::{Allowed, Egress},
    ids::Slot,
    seat_net::{self, FILES_PORT, GATEWAY, TERMINAL_PORT},
};
use ipnet::Ipv4Net;

use super::{SEATS, place::Worker, probe};
use crate::network::{bridge, survey::Surveyed};

const METADATA: Ipv4Addr = Ipv4Addr::new(169, 254, 169, 254);
/// Of RFC 5737, which nobody on the internet has: it is enough that a packet leaves.
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
const DISCARD: u16 = 9;
const SSH: u16 = 22;
const SMTP: u16 = 25;
const HTTP: u16 = 80;
const HTTPS: u16 = 443;
const NAMES: u16 = 53;
/// The agent's, unless it was told another: then it is among those that listen.
const AGENT: u16 = 9090;
/// Ports of the worker that are tried, if more listen.
const MOST_PORTS: usize = 32;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    Tcp,
    Udp,
    Ping,
    /// A question for a name, by UDP.
    Name,
}

/// Where a flow goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Target {
    pub(super) way: Way,
    pub(super) to: SocketAddr,
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.way {
            Way::Tcp => write!(f, "tcp {}", self.to),
            Way::Udp => write!(f, "udp {}", self.to),
            Way::Ping => write!(f, "ping {}", self.to.ip()),
            Way::Name => write!(f, "a name from {}", self.to),
        }
    }
}

/// What must become of a row's flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Want {
    /// None arrives; the walls refuse them in the target's name.
    Refused,
    /// None arrives, and nobody says so.
    Silent,
    /// Each leaves through the uplink, masked.
    Leaves,
    /// Each is answered.
    Answered,
}

/// One row of the matrix.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) want: Want,
    pub(super) targets: Vec<Target>,
    /// Why there is nothing to try, if there is not.
    pub(super) without: &'static str,
}

/// What the rows are made of.
#[derive(Debug)]
pub(super) struct Ground {
    own: BTreeSet<Ipv4Addr>,
    ports: BTreeSet<u16>,
    slots: Vec<Slot>,
    closed: Vec<Ipv4Net>,
    egress: Egress,
    server: Option<SocketAddrV4>,
}

impl Ground {
    /// In the worker's namespace.
    pub(super) fn of(worker: &Worker, stands: &Surveyed, server: Option<SocketAddrV4>) -> Self {
        let mut ports = probe::listening();
        ports.extend([AGENT, DISCARD]);
        let rest = ports.into_iter().filter(|port| *port != SSH);
        Self {
            own: stands.addresses.iter().copied().chain([GATEWAY]).collect(),
            ports: rest.take(MOST_PORTS).collect(),
            slots: worker.seats.iter().map(|seat| seat.slot).collect(),
            closed: worker.raised.closed.clone(),
            egress: worker.egress.clone(),
            server,
        }
    }
}

/// All rows as this seat has them: its slot, and the index of its interface.
pub(super) fn rows(ground: &Ground, from: Option<(Slot, u32)>) -> Vec<Row> {
    use Want::{Answered, Refused, Silent};
    let (slot, scope) = from.unzip();
    let scope = scope.unwrap_or(0);
    let own = || ground.own.iter().copied();
    let link_local = |address, port| tcp6(address, port, scope);
    let mut metadata = vec![
        tcp(METADATA, HTTP),
        tcp(METADATA, HTTPS),
        udp(METADATA, NAMES),
    ];
    metadata.extend([
        tcp6(METADATA.to_ipv6_mapped(), HTTP, 0),
        link_local(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe), HTTP),
        tcp6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), HTTP, 0),
        tcp6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), HTTP, 0),
    ]);
    let mut agent: Vec<_> = own()
        .flat_map(|own| ground.ports.iter().map(move |port| tcp(own, *port)))
        .filter(|target| *target != tcp(GATEWAY, NAMES))
        .collect();
    agent.extend([AGENT, SSH].map(|port| link_local(bridge_link_local(), port)));
    let ssh = own().map(|own| tcp(own, SSH)).collect();
    let mut worker: Vec<_> = own().map(|own| udp(own, DISCARD)).collect();
    worker.extend(own().filter(|own| *own != GATEWAY).map(ping));
    let others = ground.slots.iter().filter(|other| Some(**other) != slot);
    let others: Vec<_> = others.take(SEATS).map(|o| seat_net::address(*o)).collect();
    let other_seat = others
        .iter()
        .flat_map(|other| {
            let way = |way: fn(Ipv4Addr, u16) -> Target, port| way(*other, port);
            let mut ways = vec![way(tcp, TERMINAL_PORT), way(tcp, FILES_PORT)];
            ways.extend([way(udp, TERMINAL_PORT), ping(*other)]);
            ways
        })
        .collect();
    let multicast = [
        ([224, 0, 0, 1], DISCARD),
        ([224, 0, 0, 251], 5353),
        ([239, 255, 255, 250], 1900),
    ];
    let broadcast = [[255; 4], [192, 168, 100, 255]];
    let external: Vec<_> = ground
        .closed
        .iter()
        .filter_map(|range| range.hosts().next())
        .collect();
    let mut mail = vec![tcp(OUTSIDE, SMTP)];
    mail.extend(ground.server.map(|server| tcp(*server.ip(), SMTP)));
    let row = |name, want, targets| Row {
        name,
        want,
        targets,
        without: "",
    };
    let mut rows = vec![
        row("metadata", Refused, metadata),
        row("agent", Silent, agent),
        row("ssh", Silent, ssh),
        row("worker", Silent, worker),
        Row {
            without: "no other seat lives here",
            ..row("another seat", Silent, other_seat)
        },
        row(
            "private",
            Refused,
            ways(&[[10, 0, 0, 77], [172, 16, 0, 77], [192, 168, 0, 77]]),
        ),
        row("carrier nat", Refused, ways(&[[100, 64, 0, 77]])),
        row("link-local", Refused, ways(&[[169, 254, 0, 77]])),
        row(
            "multicast",
            Refused,
            multicast.map(|(to, port)| udp(to.into(), port)).into(),
        ),
        row(
            "broadcast",
            Silent,
            broadcast.map(|to| udp(to.into(), DISCARD)).into(),
        ),
        row(
            "reserved",
            Refused,
            ways(&[
                [0, 0, 0, 77],
                [192, 0, 0, 77],
                [198, 18, 0, 77],
                [240, 0, 0, 77],
            ]),
        ),
        Row {
            without: "the agent was told of no address of its own that it cannot see (--closed)",
            ..row("external address", Refused, each_way(&external, HTTPS))
        },
        row("mail", Refused, mail),
        row("resolver", Answered, vec![name_from(GATEWAY)]),
        row("gateway ping", Answered, vec![ping(GATEWAY)]),
    ];
    rows.extend(internet(ground));
    rows
}

/// By policy.
fn internet(ground: &Ground) -> Vec<Row> {
    let outside = vec![tcp(OUTSIDE, HTTPS), udp(OUTSIDE, HTTPS), ping(OUTSIDE)];
    let server = ground.server.map(|server| Target {
        way: Way::Tcp,
        to: server.into(),
    });
    let row = |name, want, targets, without| Row {
        name,
        want,
        targets,
        without,
    };
    let rest = |want| row("internet", want, outside, "");
    let answers = || {
        row(
            "a server",
            Want::Answered,
            server.into_iter().collect(),
            "name one that should answer seats: --server ADDRESS:PORT",
        )
    };
    match &ground.egress {
        Egress::Internet => vec![rest(Want::Leaves), answers()],
        Egress::None => vec![rest(Want::Refused)],
        Egress::AllowList(allowed) => {
            let first = |allowed: &Allowed| match allowed {
                Allowed::Range(range) => range.hosts().next(),
                Allowed::Host(_) | Allowed::Below(_) => None,
            };
            let ranges: Vec<_> = allowed.iter().filter_map(first).take(SEATS).collect();
            let without = "the policy names hosts alone, whose addresses open when seats ask";
            vec![
                rest(Want::Refused),
                row(
                    "allowed ranges",
                    Want::Leaves,
                    each_way(&ranges, HTTPS),
                    without,
                ),
                answers(),
            ]
        }
    }
}

/// From the agent's place to one seat.
pub(super) fn inward(slot: Slot) -> [Target; 3] {
    let to = seat_net::address(slot);
    [tcp(to, TERMINAL_PORT), tcp(to, FILES_PORT), ping(to)]
}

/// What the bridge's address would be, had it IPv6: EUI-64 of its own.
fn bridge_link_local() -> Ipv6Addr {
    let [first, second, third, rest @ ..] = bridge::MAC;
    let mut octets = [0; 16];
    octets[..2].copy_from_slice(&[0xfe, 0x80]);
    octets[8..13].copy_from_slice(&[first ^ 2, second, third, 0xff, 0xfe]);
    octets[13..].copy_from_slice(&rest);
    octets.into()
}

fn ways(to: &[[u8; 4]]) -> Vec<Target> {
    let to: Vec<_> = to.iter().map(|octets| Ipv4Addr::from(*octets)).collect();
    each_way(&to, HTTP)
}

fn each_way(to: &[Ipv4Addr], port: u16) -> Vec<Target> {
    to.iter()
        .flat_map(|to| [tcp(*to, port), udp(*to, DISCARD), ping(*to)])
        .collect()
}

fn at(way: Way, to: impl Into<IpAddr>, port: u16) -> Target {
    let to = SocketAddr::new(to.into(), port);
    Target { way, to }
}

fn tcp(to: Ipv4Addr, port: u16) -> Target {
    at(Way::Tcp, to, port)
}

fn tcp6(to: Ipv6Addr, port: u16, scope: u32) -> Target {
    Target {
        way: Way::Tcp,
        to: SocketAddrV6::new(to, port, 0, scope).into(),
    }
}

fn udp(to: Ipv4Addr, port: u16) -> Target {
    at(Way::Udp, to, port)
}

fn ping(to: Ipv4Addr) -> Target {
    at(Way::Ping, to, 0)
}

fn name_from(to: Ipv4Addr) -> Target {
    at(Way::Name, to, NAMES)
}

#[cfg(test)]
mod tests {
    use clarateach_domain::egress::CLOSED;

    use super::*;

    fn ground(egress: Egress) -> Ground {
        let slot = |slot: u32| Slot::try_from(slot).unwrap();
        Ground {
            own: [GATEWAY, Ipv4Addr::new(198, 51, 100, 2)].into(),
            ports: [AGENT].into(),
            slots: vec![slot(1), slot(2)],
            closed: vec!["203.0.113.99/32".parse().unwrap()],
            egress,
            server: None,
        }
    }

    fn of(egress: Egress) -> Vec<Row> {
        rows(&ground(egress), Some((Slot::try_from(1).unwrap(), 7)))
    }

    #[test]
    fn every_closed_range_is_tried_but_a_seats_own_loopback() {
        let tried: Vec<_> = of(Egress::Internet)
            .into_iter()
            .filter(|row| matches!(row.want, Want::Refused | Want::Silent))
            .flat_map(|row| row.targets)
            .filter_map(|target| match target.to.ip() {
                IpAddr::V4(to) => Some(to),
                IpAddr::V6(_) => None,
            })
            .collect();
        for range in CLOSED {
            let tries = tried.iter().any(|to| range.contains(to));
            assert_eq!(
                tries,
                range.addr() != Ipv4Addr::new(127, 0, 0, 0),
                "{range}"
            );
        }
        assert!(tried.contains(&Ipv4Addr::new(203, 0, 113, 99)), "--closed");
        assert!(tried.contains(&Ipv4Addr::new(192, 168, 100, 12)), "seat 2");
        assert!(!tried.contains(&Ipv4Addr::new(192, 168, 100, 11)), "itself");
    }

    #[test]
    fn the_internet_is_wanted_as_the_policy_says() {
        let list = Egress::allow_list(vec!["203.0.113.64/26".parse().unwrap()]);
        for (egress, want) in [
            (
                Egress::Internet,
                vec![("internet", Want::Leaves), ("a server", Want::Answered)],
            ),
            (Egress::None, vec![("internet", Want::Refused)]),
            (
                list,
                vec![
                    ("internet", Want::Refused),
                    ("allowed ranges", Want::Leaves),
                    ("a server", Want::Answered),
                ],
            ),
        ] {
            let rows = internet(&ground(egress));
            let found: Vec<_> = rows.iter().map(|row| (row.name, row.want)).collect();
            assert_eq!(found, want);
        }
    }

    #[test]
    fn the_bridges_link_local_address_follows_from_its_own() {
        assert_eq!(bridge_link_local().to_string(), "fe80::c1:a2ff:fe00:100");
    }
}
