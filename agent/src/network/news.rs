//! What the kernel tells of changes to this namespace's links, neighbours, queues,
//! addresses and rules. Only that something changed: what, is looked up.

use std::{io, thread};

use rtnetlink::sys::{
    Socket, SocketAddr,
    protocols::{NETLINK_NETFILTER, NETLINK_ROUTE},
};
use tokio::sync::mpsc;
use tracing::warn;

use super::NetworkError;

/// Groups of a netlink family, by number: `linux/rtnetlink.h`,
/// `linux/netfilter/nfnetlink.h`.
const LINKS: u32 = 1;
const NEIGHBOURS: u32 = 3;
const QUEUES: u32 = 4;
const ADDRESSES: u32 = 5;
const RULES: u32 = 7;

/// Tells whenever there is news, from threads of its own. News that comes while
/// some waits to be heard is the same news.
pub(super) fn listen(tell: &mpsc::Sender<()>) -> Result<(), NetworkError> {
    for (family, groups) in [
        (NETLINK_ROUTE, &[LINKS, NEIGHBOURS, QUEUES, ADDRESSES][..]),
        (NETLINK_NETFILTER, &[RULES]),
    ] {
        let socket = open(family, groups).map_err(|cause| NetworkError::Bridge {
            act: "listen to changes",
            cause,
        })?;
        let tell = tell.clone();
        let heard = move || hear(&socket, &tell);
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

fn hear(socket: &Socket, tell: &mpsc::Sender<()>) {
    while !tell.is_closed() {
        match socket.recv_from_full() {
            // Full means that it is about to be heard anyway.
            Ok(_) => drop(tell.try_send(())),
            // More than fits: something changed, and that is all we ask.
            Err(lost) if lost.raw_os_error() == Some(libc::ENOBUFS) => drop(tell.try_send(())),
            Err(again) if again.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                warn!(%error, "changes of the network are found by the clock alone");
                return;
            }
        }
    }
}
