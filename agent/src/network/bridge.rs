//! `clarateach0`: the one bridge of a worker, with the seats' gateway on it.

use std::{fs, io, path::Path};

use clarateach_domain::seat_net;
use rtnetlink::{
    packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE},
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::{AddressAttribute, AddressMessage},
        link::{InfoBridge, InfoData, InfoKind, LinkAttribute, LinkFlags, LinkInfo, LinkMessage},
    },
};

use super::{NetworkError, netlink::Netlink};

/// The bridge's own hardware address. Fixed, because the guests have it as a
/// permanent neighbour; no slot's address has a 1 in the fifth place.
pub(crate) const MAC: [u8; 6] = [0x02, 0xc1, 0xa2, 0, 1, 0];

/// [`MAC`] as text.
pub(crate) fn mac_text() -> String {
    MAC.map(|byte| format!("{byte:02x}")).join(":")
}

/// Makes the bridge as it must be, whatever there was, and says its index.
pub(super) fn ensure() -> Result<u32, NetworkError> {
    let bridge = |act| move |cause| NetworkError::Bridge { act, cause };
    // New devices of this namespace start without IPv6: a port must not have a
    // link-local address for even a moment.
    switch("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")?;
    let mut netlink = Netlink::open().map_err(bridge("open the netlink socket"))?;
    let made = netlink.act(
        RouteNetlinkMessage::NewLink(link()),
        NLM_F_CREATE | NLM_F_EXCL,
    );
    match made {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made.map_err(bridge("make the device"))?,
    }
    let index = netlink
        .link_index(seat_net::BRIDGE)
        .and_then(|index| index.ok_or_else(|| io::ErrorKind::NotFound.into()))
        .map_err(bridge("find the device"))?;
    switch(
        &format!("/proc/sys/net/ipv6/conf/{}/disable_ipv6", seat_net::BRIDGE),
        "1",
    )?;
    switch(
        &format!(
            "/proc/sys/net/ipv4/conf/{}/send_redirects",
            seat_net::BRIDGE
        ),
        "0",
    )?;
    // A fresh namespace may have 1, which sends bridged frames through the
    // inet rules and lets tests pass that fail on a worker.
    switch("/proc/sys/net/bridge/bridge-nf-call-iptables", "0")?;
    switch("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "0")?;
    switch("/proc/sys/net/bridge/bridge-nf-call-arptables", "0")?;
    netlink
        .act(
            RouteNetlinkMessage::NewAddress(address(index)),
            NLM_F_CREATE | NLM_F_REPLACE,
        )
        .map_err(bridge("set the address"))?;
    netlink
        .act(RouteNetlinkMessage::SetLink(up(index)), 0)
        .map_err(bridge("bring up the device"))?;
    // Last: nothing is forwarded before the rules stand.
    switch("/proc/sys/net/ipv4/ip_forward", "1")?;
    Ok(index)
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
