//! `clarateach0`: the one bridge of a worker, with the seats' gateway on it.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    path::Path,
};

use clarateach_domain::seat_net;
use ipnet::Ipv4Net;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressMessage},
        link::{InfoBridge, InfoData, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    },
};

use super::{
    NetworkError,
    look::name,
    netlink::{Netlink, Seen},
};

/// The bridge's own hardware address. Fixed, because the guests have it as a
/// permanent neighbour; no slot's address has a 1 in the fifth place.
pub(crate) const MAC: [u8; 6] = [0x02, 0xc1, 0xa2, 0, 1, 0];

/// [`MAC`] as text.
pub(crate) fn mac_text() -> String {
    MAC.map(|byte| format!("{byte:02x}")).join(":")
}

/// Kernel switches of the worker's namespace.
///
/// New devices of it start without IPv6: a port must not have a link-local
/// address for even a moment. A fresh namespace may send bridged frames through
/// the inet rules, which lets tests pass that fail on a worker.
pub(super) const SWITCHES: [(&str, &str); 7] = [
    ("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1"),
    ("/proc/sys/net/ipv6/conf/clarateach0/disable_ipv6", "1"),
    ("/proc/sys/net/ipv4/conf/clarateach0/send_redirects", "0"),
    ("/proc/sys/net/bridge/bridge-nf-call-iptables", "0"),
    ("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "0"),
    ("/proc/sys/net/bridge/bridge-nf-call-arptables", "0"),
    // Last: nothing is forwarded before the rules stand.
    ("/proc/sys/net/ipv4/ip_forward", "1"),
];

/// Makes the bridge as it must be and says its index. What has its name or its
/// network and is something else is left alone.
pub(super) fn ensure() -> Result<u32, NetworkError> {
    let bridge = |act| move |cause| NetworkError::Bridge { act, cause };
    let (before_it, after_it) = SWITCHES.split_at(1);
    for (path, value) in before_it {
        switch(path, value)?;
    }
    let mut netlink = Netlink::open().map_err(bridge("open the netlink socket"))?;
    let seen = netlink.all().map_err(bridge("look at the network"))?;
    if let Some(foreign) = foreign(&seen) {
        return Err(NetworkError::Foreign(foreign));
    }
    let made = netlink.act(
        RouteNetlinkMessage::NewLink(link()),
        NLM_F_CREATE | NLM_F_EXCL,
    );
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(bridge("make the device"))?,
    }
    let index = index(&mut netlink)?;
    let (own, forward) = after_it.split_at(after_it.len() - 1);
    for (path, value) in own {
        switch(path, value)?;
    }
    netlink
        .act(
            RouteNetlinkMessage::NewAddress(address(index)),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
        .map_err(bridge("set the address"))?;
    netlink
        .act(RouteNetlinkMessage::SetLink(up(index)), 0)
        .map_err(bridge("bring up the device"))?;
    for (path, value) in forward {
        switch(path, value)?;
    }
    Ok(index)
}

/// The bridge's index, now: it may have been made anew.
pub(super) fn index(netlink: &mut Netlink) -> Result<u32, NetworkError> {
    let index = netlink.link_index(seat_net::BRIDGE);
    index
        .and_then(|index| index.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(|cause| NetworkError::Bridge {
            act: "find the device",
            cause,
        })
}

/// What is wrong with the bridge, for people.
pub(super) fn wrong(seen: &Seen) -> Option<String> {
    let bridge = seat_net::BRIDGE;
    let Some(link) = seen.link(bridge) else {
        return Some(format!("{bridge} was gone"));
    };
    if !link.header.flags.contains(LinkFlags::Up) {
        return Some(format!("{bridge} was down"));
    }
    let has_mac = link
        .attributes
        .iter()
        .any(|a| matches!(a, LinkAttribute::Address(mac) if mac[..] == MAC));
    if !has_mac {
        return Some(format!("{bridge} had another hardware address"));
    }
    let has_address = seen
        .addresses
        .iter()
        .any(|a| a.header.index == link.header.index && local(a) == Some(seat_net::GATEWAY));
    (!has_address).then(|| format!("{bridge} had lost its address"))
}

/// What else has the bridge's name or is in its network, for people.
fn foreign(seen: &Seen) -> Option<String> {
    let bridge = seat_net::BRIDGE;
    let link = seen.link(bridge);
    if let Some(link) = link {
        let kind = link.attributes.iter().find_map(|a| match a {
            LinkAttribute::LinkInfo(infos) => infos.iter().find_map(|info| match info {
                LinkInfo::Kind(kind) => Some(kind.clone()),
                _ => None,
            }),
            _ => None,
        });
        if kind != Some(InfoKind::Bridge) {
            let kind = kind.map_or_else(|| "physical".to_owned(), |kind| kind.to_string());
            return Some(format!(
                "{bridge} is a {kind} device of somebody else: rename it"
            ));
        }
    }
    let network = Ipv4Net::new_assert(seat_net::GATEWAY, seat_net::PREFIX);
    seen.addresses.iter().find_map(|address| {
        let local = local(address).filter(|local| network.contains(local))?;
        let owner = seen
            .links
            .iter()
            .find(|of| of.header.index == address.header.index)?;
        let name = name(owner).filter(|name| *name != bridge)?;
        Some(format!(
            "{name} has {local}, which is in the seats' network {}: give it another",
            network.trunc()
        ))
    })
}

fn local(address: &AddressMessage) -> Option<Ipv4Addr> {
    address.attributes.iter().find_map(|a| match a {
        AddressAttribute::Local(IpAddr::V4(local)) => Some(*local),
        _ => None,
    })
}

/// Writes a kernel switch of the calling thread's network namespace. One that
/// this kernel does not have has nothing to switch off.
pub(super) fn switch(path: &str, value: &'static str) -> Result<(), NetworkError> {
    if !Path::new(path).exists() {
        return Ok(());
    }
    fs::write(path, value).map_err(|cause| NetworkError::Switch {
        path: path.to_owned(),
        value,
        cause,
    })
}

/// A message that brings a link up.
pub(super) fn up(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.header.flags = LinkFlags::Up;
    message.header.change_mask = LinkFlags::Up;
    message
}

fn link() -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![
        LinkAttribute::IfName(seat_net::BRIDGE.to_owned()),
        LinkAttribute::Address(MAC.to_vec()),
        LinkAttribute::LinkInfo(vec![
            LinkInfo::Kind(InfoKind::Bridge),
            LinkInfo::Data(InfoData::Bridge(vec![
                InfoBridge::ForwardDelay(0),
                InfoBridge::MulticastSnooping(false),
            ])),
        ]),
    ];
    message
}

fn address(index: u32) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = AddressFamily::Inet;
    message.header.prefix_len = seat_net::PREFIX;
    message.header.index = index;
    message.attributes = vec![
        AddressAttribute::Local(seat_net::GATEWAY.into()),
        AddressAttribute::Address(seat_net::GATEWAY.into()),
    ];
    message
}
