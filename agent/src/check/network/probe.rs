//! Tries flows, all at once, in the network namespace of the calling thread.

use std::{
    collections::BTreeSet,
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Instant,
};

use anyhow::Context as _;
use futures_util::future::join_all;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, netdevice, socket_with};
use tokio::{
    net::{TcpSocket, UdpSocket},
    time::timeout_at,
};

use super::targets::{Target, Way};

/// The state of a socket that listens, in `/proc/net/tcp`.
const LISTENS: &str = "0A";
/// An echo request with its sum; of a ping socket the kernel sets its id.
const ECHO: [u8; 8] = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
/// Asks for the address of example.com: a header, the name, A, IN.
const QUESTION: &[u8] = b"\x43\x54\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\
    \x07example\x03com\x00\x00\x01\x00\x01";

/// How a flow ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ended {
    /// Somebody answered.
    Open,
    /// Somebody said that nobody listens, or the walls did in that one's name.
    Refused,
    /// Nobody said anything.
    Silent,
    /// Something else, in words.
    Otherwise(String),
}

/// One flow that was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tried {
    pub(super) target: Target,
    /// By which its packets are known: its port, or the id of an echo.
    pub(super) port: u16,
    pub(super) ended: Ended,
}

/// Tries all until then, from this address. Blocks.
pub(super) fn try_all(
    from: Option<Ipv4Addr>,
    targets: Vec<Target>,
    until: Instant,
) -> anyhow::Result<Vec<Tried>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    // Sockets are made on this thread alone: they belong to its namespace.
    let all = targets
        .into_iter()
        .map(|target| attempt_if_can(from, target, until));
    let tried = runtime.block_on(join_all(all));
    tried
        .into_iter()
        .collect::<io::Result<_>>()
        .context("could not make a socket")
}

/// A kernel without IPv6 makes no socket of it: then nothing goes that way.
async fn attempt_if_can(
    from: Option<Ipv4Addr>,
    target: Target,
    until: Instant,
) -> io::Result<Tried> {
    match attempt(from, target, until).await {
        Err(none) if target.to.is_ipv6() => Ok(Tried {
            target,
            port: 0,
            ended: Ended::Otherwise(none.to_string()),
        }),
        tried => tried,
    }
}

async fn attempt(from: Option<Ipv4Addr>, target: Target, until: Instant) -> io::Result<Tried> {
    let local = SocketAddr::new(local(from, target.to.ip()), 0);
    let until = until.into();
    let (port, ended) = match target.way {
        Way::Tcp => {
            let socket = match target.to {
                SocketAddr::V4(_) => TcpSocket::new_v4(),
                SocketAddr::V6(_) => TcpSocket::new_v6(),
            }?;
            socket.bind(local)?;
            let port = socket.local_addr()?.port();
            (
                port,
                timeout_at(until, socket.connect(target.to))
                    .await
                    .map(|made| made.map(drop)),
            )
        }
        Way::Udp | Way::Ping | Way::Name => {
            let socket = datagrams(target.way, local)?;
            let port = socket.local_addr()?.port();
            let send: &[u8] = match target.way {
                Way::Name => QUESTION,
                Way::Ping => &ECHO,
                Way::Tcp | Way::Udp => b"anybody there?",
            };
            let asked = async {
                socket.connect(target.to).await?;
                socket.send(send).await?;
                let mut answer = [0; 512];
                let read = socket.recv(&mut answer).await?;
                understood(target.way, &answer[..read])
            };
            (port, timeout_at(until, asked).await)
        }
    };
    let ended = match ended {
        Err(_elapsed) => Ended::Silent,
        Ok(Ok(())) => Ended::Open,
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Ended::Refused,
        Ok(Err(error)) => Ended::Otherwise(error.to_string()),
    };
    Ok(Tried {
        target,
        port,
        ended,
    })
}

/// The address that a flow there comes from.
fn local(from: Option<Ipv4Addr>, to: IpAddr) -> IpAddr {
    match to {
        IpAddr::V4(_) => from.unwrap_or(Ipv4Addr::UNSPECIFIED).into(),
        IpAddr::V6(to) if to.to_ipv4_mapped().is_some() => from
            .map_or(Ipv6Addr::UNSPECIFIED, |from| from.to_ipv6_mapped())
            .into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn datagrams(way: Way, local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = if way == Way::Ping {
        let ping = |kind| {
            let icmp = Some(ipproto::ICMP);
            socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, icmp)
        };
        // A namespace that lets nobody ping still has raw sockets.
        let socket = ping(SocketType::DGRAM).or_else(|_| ping(SocketType::RAW))?;
        let socket = std::net::UdpSocket::from(socket);
        rustix::net::bind(&socket, &local)?;
        socket
    } else {
        std::net::UdpSocket::bind(local)?
    };
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// A name is answered by one that has been asked, or that may not be; not by a
/// resolver whose own do not answer. An echo is one of the answering kind.
fn understood(way: Way, answer: &[u8]) -> io::Result<()> {
    let code = match (way, answer) {
        (Way::Name, [_, _, _, flags, ..]) => flags & 0xf,
        // A raw socket gives the IPv4 header too.
        (Way::Ping, [version, ..]) if version >> 4 == 4 => {
            let kind = answer.get(usize::from(version & 0xf) * 4);
            return if kind == Some(&0) {
                Ok(())
            } else {
                Err(io::Error::other(format!("ICMP of type {kind:?} came")))
            };
        }
        _ => return Ok(()),
    };
    match code {
        0 | 3 | 5 => Ok(()),
        2 => Err(io::Error::other(
            "it has no answer from its own resolvers (SERVFAIL)",
        )),
        other => Err(io::Error::other(format!("it answered with code {other}"))),
    }
}

/// The TCP ports that somebody listens on in this namespace.
pub(super) fn listening() -> BTreeSet<u16> {
    let tables =
        ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/thread-self/net/{table}")));
    let tables = tables.into_iter().flatten();
    tables.flat_map(|table| listening_in(&table)).collect()
}

fn listening_in(table: &str) -> Vec<u16> {
    let port = |line: &str| {
        let mut fields = line.split_whitespace().skip(1);
        let (_address, port) = fields.next()?.rsplit_once(':')?;
        (fields.nth(1)? == LISTENS).then(|| u16::from_str_radix(port, 16).ok())?
    };
    table.lines().filter_map(port).collect()
}

/// To ask this namespace about its interfaces through.
pub(super) fn any_socket() -> anyhow::Result<std::os::fd::OwnedFd> {
    socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )
    .context("could not make a socket")
}

/// The index of an interface in this namespace.
pub(super) fn index_of(name: &str) -> anyhow::Result<u32> {
    netdevice::name_to_index(&any_socket()?, name).with_context(|| format!("there is no {name}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn who_listens_is_read_from_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue\n\
            0: 00000000:2382 00000000:0000 0A 00000000:00000000\n\
            1: 0100007F:0016 0100007F:A2C4 01 00000000:00000000\n\
            2: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 0:0\n";
        assert_eq!(listening_in(table), [9090, 22]);
    }

    #[test]
    fn a_resolver_without_resolvers_does_not_answer() {
        let answer = |code: u8| [0x43, 0x54, 0x81, 0x80 | code, 0, 1];
        for (code, well) in [(0, true), (3, true), (5, true), (2, false), (1, false)] {
            assert_eq!(understood(Way::Name, &answer(code)).is_ok(), well, "{code}");
        }
        assert!(understood(Way::Udp, &[]).is_ok());
        let raw = |kind| [vec![0x45], vec![0; 19], vec![kind]].concat();
        for (echo, well) in [(vec![0; 8], true), (raw(0), true), (raw(3), false)] {
            assert_eq!(understood(Way::Ping, &echo).is_ok(), well, "{echo:?}");
        }
    }

    #[test]
    fn what_is_open_refused_and_silent_is_told_apart() {
        let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let silent = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let shut = {
            let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            gone.local_addr().unwrap()
        };
        let targets = vec![
            Target {
                way: Way::Tcp,
                to: open.local_addr().unwrap(),
            },
            Target {
                way: Way::Tcp,
                to: shut,
            },
            Target {
                way: Way::Udp,
                to: silent.local_addr().unwrap(),
            },
        ];
        let until = Instant::now() + Duration::from_millis(300);
        let tried = try_all(Some(Ipv4Addr::LOCALHOST), targets, until).unwrap();
        let ended: Vec<_> = tried.iter().map(|tried| &tried.ended).collect();
        assert_eq!(ended, [&Ended::Open, &Ended::Refused, &Ended::Silent]);
        assert!(tried.iter().all(|tried| tried.port > 0));
    }
}
