//! What comes out of the walls: packets of the flows that are tried, as they
//! leave by another device of the worker. Whether anybody is there to answer does
//! not matter.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    os::fd::{AsFd as _, OwnedFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use anyhow::{Context as _, anyhow};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    net::netdevice,
};

use super::{
    AFTER,
    probe::{Tried, any_socket},
    targets::Way,
};
use crate::sys::packets::{SEEN, missed_packets, next_packet, watch_outgoing};

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
/// How long the reader sleeps when nothing leaves.
const NAP: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 50_000_000,
};

/// Where a flow came out, and from whom it said it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Escape {
    pub(super) device: String,
    pub(super) from: IpAddr,
}

/// By what a packet of a flow is known: protocol, where to, and its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Mark {
    protocol: u8,
    to: IpAddr,
    ports: (u16, u16),
}

/// Sees all that leaves the namespace it was begun in.
pub(super) struct Watch {
    enough: Arc<AtomicBool>,
    reader: JoinHandle<anyhow::Result<Seen>>,
}

/// What left while it was watched.
#[derive(Debug, Default)]
pub(super) struct Seen {
    left: HashMap<Mark, (u32, IpAddr)>,
    names: HashMap<u32, String>,
    /// Packets that were not seen: the worker sent more than could be read.
    pub(super) missed: u32,
}

impl Watch {
    pub(super) fn begin() -> anyhow::Result<Self> {
        let socket = watch_outgoing().context("could not watch what leaves")?;
        let enough = Arc::<AtomicBool>::default();
        let until = Arc::clone(&enough);
        // Threads begin in the namespace of the one that starts them.
        let reader = thread::Builder::new()
            .name("escapes".to_owned())
            .spawn(move || read(&socket, &until))
            .context("could not start the thread that watches")?;
        Ok(Self { enough, reader })
    }

    pub(super) fn end(self) -> anyhow::Result<Seen> {
        thread::sleep(AFTER);
        self.enough.store(true, Ordering::Relaxed);
        let panicked = |_| Err(anyhow!("the thread that watches panicked"));
        self.reader.join().unwrap_or_else(panicked)
    }
}

impl Seen {
    /// Where the flow came out, if it did.
    pub(super) fn of(&self, tried: &Tried) -> Option<Escape> {
        let to = tried.target.to;
        let (protocol, port) = match tried.target.way {
            Way::Tcp => (TCP, to.port()),
            Way::Udp | Way::Name => (UDP, to.port()),
            Way::Ping => (ICMP, 0),
        };
        let mark = Mark {
            protocol,
            to: to.ip().to_canonical(),
            ports: (tried.port, port),
        };
        let (device, from) = self.left.get(&mark)?;
        let name = self.names.get(device);
        Some(Escape {
            device: name.map_or_else(|| format!("device {device}"), String::clone),
            from: *from,
        })
    }
}

fn read(socket: &OwnedFd, enough: &AtomicBool) -> anyhow::Result<Seen> {
    let mut seen = Seen::default();
    let mut heads = [0; SEEN];
    loop {
        match next_packet(socket, &mut heads) {
            Ok((length, device)) => {
                if let Some((mark, from)) = parse(&heads[..length]) {
                    seen.left.insert(mark, (device, from));
                }
            }
            Err(none) if none.kind() == std::io::ErrorKind::WouldBlock => {
                if enough.load(Ordering::Relaxed) {
                    break;
                }
                let mut ready = [PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN)];
                rustix::io::retry_on_intr(|| poll(&mut ready, Some(&NAP)))
                    .context("could not wait for packets")?;
            }
            // A device that went down says so on this socket.
            Err(down) if down.raw_os_error() == Some(libc::ENETDOWN) => {}
            Err(error) => return Err(error).context("could not see what leaves"),
        }
    }
    seen.missed = missed_packets(socket).context("could not ask what was missed")?;
    let any = any_socket()?;
    for (device, _from) in seen.left.values() {
        if let Ok(name) = netdevice::index_to_name(&any, *device) {
            seen.names.insert(*device, name);
        }
    }
    Ok(seen)
}

/// The mark of a packet and whom it names as its sender; none for what no flow of
/// ours could be.
fn parse(packet: &[u8]) -> Option<(Mark, IpAddr)> {
    let octets = |at: usize| -> Option<[u8; 4]> { packet.get(at..at + 4)?.try_into().ok() };
    let long = |at: usize| -> Option<[u8; 16]> { packet.get(at..at + 16)?.try_into().ok() };
    let (protocol, from, to, heads) = match packet.first()? >> 4 {
        4 => {
            let from = IpAddr::from(Ipv4Addr::from(octets(12)?));
            let to = IpAddr::from(Ipv4Addr::from(octets(16)?));
            (*packet.get(9)?, from, to, usize::from(packet[0] & 0xf) * 4)
        }
        6 => {
            let from = IpAddr::from(Ipv6Addr::from(long(8)?));
            let to = IpAddr::from(Ipv6Addr::from(long(24)?));
            (*packet.get(6)?, from, to, 40)
        }
        _ => return None,
    };
    let number = |at: usize| {
        let bytes = packet.get(heads + at..heads + at + 2)?;
        Some(u16::from_be_bytes(bytes.try_into().ok()?))
    };
    let ports = match protocol {
        TCP | UDP => (number(0)?, number(2)?),
        // The id of an echo request.
        ICMP if *packet.get(heads)? == 8 => (number(4)?, 0),
        _ => return None,
    };
    let mark = Mark {
        protocol,
        to,
        ports,
    };
    Some((mark, from))
}

#[cfg(test)]
mod tests {
    use super::{
        super::{probe::Ended, targets::Target},
        *,
    };

    fn packet(protocol: u8, rest: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0];
        packet.extend([198, 51, 100, 2, 10, 0, 0, 77]);
        packet.extend(rest);
        packet
    }

    #[test]
    fn a_packet_is_known_as_the_flow_it_belongs_to() {
        let mut seen = Seen::default();
        for packet in [
            packet(TCP, &[0x9c, 0x40, 0, 80, 0, 0]),
            packet(ICMP, &[8, 0, 0, 0, 0x9c, 0x41, 0, 0]),
            packet(ICMP, &[0, 0, 0, 0, 0x9c, 0x42, 0, 0]),
            packet(UDP, &[0x9c]),
            vec![],
            vec![0x45],
            vec![0x60; 30],
        ] {
            if let Some((mark, from)) = parse(&packet) {
                seen.left.insert(mark, (3, from));
            }
        }
        seen.names.insert(3, "up0".to_owned());
        let of = |way, port: u16, to: &str| {
            seen.of(&Tried {
                target: Target {
                    way,
                    to: to.parse().unwrap(),
                },
                port,
                ended: Ended::Silent,
            })
        };
        let out = Some(Escape {
            device: "up0".to_owned(),
            from: Ipv4Addr::new(198, 51, 100, 2).into(),
        });
        assert_eq!(of(Way::Tcp, 40000, "10.0.0.77:80"), out);
        assert_eq!(of(Way::Tcp, 40000, "[::ffff:10.0.0.77]:80"), out, "mapped");
        assert_eq!(of(Way::Ping, 40001, "10.0.0.77:0"), out);
        assert_eq!(of(Way::Ping, 40002, "10.0.0.77:0"), None, "an answer");
        assert_eq!(of(Way::Tcp, 40001, "10.0.0.77:80"), None, "another's");
        assert_eq!(of(Way::Udp, 40000, "10.0.0.77:80"), None);
    }
}
