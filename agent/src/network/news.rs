//! What the kernel tells of changes to this namespace's links, neighbours, queues,
//! addresses and rules. Only that something changed: what, is looked up, but not
//! among the rules when none changed. Each seat that comes or goes is news.

use std::{io, thread};

use rtnetlink::sys::{
    Socket, SocketAddr,
    protocols::{NETLINK_NETFILTER, NETLINK_ROUTE},
};
use tokio::sync::watch;
use tracing::warn;

use super::NetworkError;

/// Groups of a netlink family, by number: `linux/rtnetlink.h`,
/// `linux/netfilter/nfnetlink.h`.
const LINKS: u32 = 1;
const NEIGHBOURS: u32 = 3;
const QUEUES: u32 = 4;
const ADDRESSES: u32 = 5;
const RULES: u32 = 7;

/// How often the kernel told of changes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct News {
    /// Of links, neighbours, queues and addresses.
    pub links: u64,
    /// Of rules.
    pub rules: u64,
}

/// Tells whenever there is news, from threads of its own.
pub(super) fn listen(tell: &watch::Sender<News>) -> Result<(), NetworkError> {
    let of_links: fn(&mut News) = |news| news.links += 1;
    let of_rules: fn(&mut News) = |news| news.rules += 1;
    for (family, groups, count) in [
        (
            NETLINK_ROUTE,
            &[LINKS, NEIGHBOURS, QUEUES, ADDRESSES][..],
            of_links,
        ),
        (NETLINK_NETFILTER, &[RULES], of_rules),
    ] {
        let socket = open(family, groups).map_err(|cause| NetworkError::Bridge {
            act: "listen to changes",
            cause,
        })?;
        let tell = tell.clone();
        let heard = move || hear(&socket, &tell, count);
        let thread = thread::Builder::new().name("network-news".to_owned());
        thread.spawn(heard).map_err(|cause| NetworkError::Bridge {
            act: "start the thread that listens to changes",
            cause,
        })?;
    }
    Ok(())
}

fn open(family: isize, groups: &[u32]) -> io::Result<Socket> {
    let mut socket = Socket::new(family)?;
    socket.bind(&SocketAddr::new(0, 0))?;
    for group in groups {
        socket.add_membership(*group)?;
    }
    Ok(socket)
}

fn hear(socket: &Socket, tell: &watch::Sender<News>, count: fn(&mut News)) {
    while !tell.is_closed() {
        match socket.recv_from_full() {
            Ok(_) => tell.send_modify(count),
            // More than fits: something changed, and that is all we ask.
            Err(lost) if lost.raw_os_error() == Some(libc::ENOBUFS) => tell.send_modify(count),
            Err(again) if again.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                warn!(%error, "changes of the network are found by the clock alone");
                return;
            }
        }
    }
}
