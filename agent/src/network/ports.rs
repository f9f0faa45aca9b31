//! One seat's port: `ctp{slot}` on the bridge, `eth0` in a network namespace
//! of the seat's own.
//!
//! The namespace belongs to the worker's user namespace, not to the guest's: a
//! guest that is root cannot touch it. It lives as long as somebody is in it or
//! holds it: first this process by a file, then the seat's own processes.

pub(super) mod messages;
mod switches;

use std::{
    collections::BTreeSet,
    fs::File,
    io,
    net::Ipv4Addr,
    os::fd::{AsRawFd as _, OwnedFd},
    thread,
};

use clarateach_domain::{ids::Slot, seat_net};
use rtnetlink::{
    RouteMessageBuilder,
    packet_core::{NLM_F_CREATE, NLM_F_EXCL, NLM_F_REPLACE},
    packet_route::{RouteNetlinkMessage, link::LinkMessage},
};

use self::messages::{address, entry, neighbour, pair, pinned};
use super::{
    NetworkError,
    bridge::{self, up},
    netlink::Netlink,
    shape::Shapes,
};
use crate::sys;

/// A seat's network namespace with its port, made and not yet joined. Dropped,
/// it takes the port with it.
#[derive(Debug)]
pub struct PortNamespace {
    slot: Slot,
    namespace: OwnedFd,
    kept: bool,
}

impl PortNamespace {
    /// Makes both ends. Rules and neighbour tables stand before the port is up.
    pub(super) fn make(
        bridge: u32,
        slot: Slot,
        shapes: &Shapes,
        mbits: u32,
    ) -> Result<Self, NetworkError> {
        // Left over from an earlier life, its other end would be in use.
        close(slot)?;
        let shapes = shapes.clone();
        // A thread of its own, because it changes its namespace for good.
        let made = thread::Builder::new()
            .name(format!("port-{slot}"))
            .spawn(move || make_here(bridge, slot, &shapes, mbits));
        let made = made.map(thread::JoinHandle::join);
        match made {
            Ok(Ok(made)) => made,
            Ok(Err(_panic)) => Err(port(slot, "make the port")(io::Error::other(
                "its thread panicked",
            ))),
            Err(cause) => Err(port(slot, "start the thread")(cause)),
        }
    }

    /// The namespace as a path that any process of this host may open while
    /// this value lives.
    pub fn path(&self) -> String {
        let pid = std::process::id();
        format!("/proc/{pid}/fd/{}", self.namespace.as_raw_fd())
    }

    /// Leaves the port to the processes that joined the namespace.
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for PortNamespace {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = close(self.slot)
        {
            tracing::warn!(slot = %self.slot, %error, "half-made port was not removed");
        }
    }
}

pub(super) fn port(slot: Slot, act: &'static str) -> impl Fn(io::Error) -> NetworkError {
    move |cause| NetworkError::Port { slot, act, cause }
}

/// Removes the port; its other end goes with it.
pub(super) fn close(slot: Slot) -> Result<(), NetworkError> {
    let failed = port(slot, "remove the port");
    let mut netlink = Netlink::open().map_err(&failed)?;
    let Some(index) = netlink
        .link_index(&seat_net::port_name(slot))
        .map_err(&failed)?
    else {
        return Ok(());
    };
    let mut gone = LinkMessage::default();
    gone.header.index = index;
    match netlink.act(RouteNetlinkMessage::DelLink(gone), 0) {
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
        removed => removed.map_err(failed),
    }
}

/// The slots that have a port.
pub(super) fn list() -> Result<BTreeSet<Slot>, NetworkError> {
    let names = Netlink::open()
        .and_then(|mut netlink| netlink.link_names())
        .map_err(|cause| NetworkError::Bridge {
            act: "list the ports",
            cause,
        })?;
    let slot = |name: &String| {
        let number: u32 = name.strip_prefix("ctp")?.parse().ok()?;
        Slot::try_from(number).ok()
    };
    Ok(names.iter().filter_map(slot).collect())
}

/// The whole recipe, on a thread that ends with it.
fn make_here(
    bridge_index: u32,
    slot: Slot,
    shapes: &Shapes,
    mbits: u32,
) -> Result<PortNamespace, NetworkError> {
    let at = |act| port(slot, act);
    let mut worker = Netlink::open().map_err(at("open the netlink socket"))?;
    sys::unshare_network().map_err(at("make the network namespace"))?;
    let namespace: OwnedFd = File::open("/proc/thread-self/ns/net")
        .map_err(at("hold the network namespace"))?
        .into();
    switches::set()?;
    let mut seat = Netlink::open().map_err(at("open the seat's netlink socket"))?;

    worker
        .act(
            RouteNetlinkMessage::NewLink(pair(bridge_index, slot, &namespace)),
            NLM_F_CREATE | NLM_F_EXCL,
        )
        .map_err(at("make the port"))?;
    // From here on a failure takes the port with it.
    let made = PortNamespace {
        slot,
        namespace,
        kept: false,
    };
    let index = |netlink: &mut Netlink, name: &str| {
        let index = netlink.link_index(name);
        index.and_then(|index| index.ok_or_else(|| io::ErrorKind::NotFound.into()))
    };
    let outer = index(&mut worker, &seat_net::port_name(slot)).map_err(at("find the port"))?;
    worker
        .act(RouteNetlinkMessage::NewLink(pinned(outer)), 0)
        .map_err(at("isolate the port"))?;
    let create = NLM_F_CREATE | NLM_F_REPLACE;
    worker
        .act(
            RouteNetlinkMessage::NewNeighbour(entry(outer, slot)),
            create,
        )
        .map_err(at("write the forwarding entry"))?;
    let own = neighbour(bridge_index, seat_net::address(slot), seat_net::mac(slot));
    worker
        .act(RouteNetlinkMessage::NewNeighbour(own), create)
        .map_err(at("write the neighbour"))?;
    // While both ends are down: a queue of a device that is up waits for the kernel.
    shapes.port(&mut worker, outer, slot, mbits)?;

    let lo = index(&mut seat, "lo").map_err(at("find the loopback"))?;
    let eth0 = index(&mut seat, "eth0").map_err(at("find the seat's end"))?;
    shapes.inner(&mut seat, eth0, slot, mbits)?;
    seat.act(RouteNetlinkMessage::SetLink(up(lo)), 0)
        .map_err(at("bring up the loopback"))?;
    seat.act(RouteNetlinkMessage::NewAddress(address(eth0, slot)), create)
        .map_err(at("set the address"))?;
    seat.act(RouteNetlinkMessage::SetLink(up(eth0)), 0)
        .map_err(at("bring up the seat's end"))?;
    let gateway = neighbour(eth0, seat_net::GATEWAY, bridge::MAC);
    seat.act(RouteNetlinkMessage::NewNeighbour(gateway), create)
        .map_err(at("write the gateway's neighbour"))?;
    let route = RouteMessageBuilder::<Ipv4Addr>::new()
        .gateway(seat_net::GATEWAY)
        .output_interface(eth0)
        .build();
    seat.act(RouteNetlinkMessage::NewRoute(route), create)
        .map_err(at("set the default route"))?;

    worker
        .act(RouteNetlinkMessage::SetLink(up(outer)), 0)
        .map_err(at("bring up the port"))?;
    Ok(made)
}
