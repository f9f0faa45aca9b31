//! Tries every target at once and says of each how it ended, in one line:
//! `target=open`, `target=refused`, `target=silent` or `target=<error>`. Usage:
//! `clarateach-probe SECONDS[:WANTED] TARGET…`
//!
//! With WANTED it ends three seconds after the first so many targets have ended, if
//! that is sooner: what answers at all answers no later than they do.
//!
//! Targets: `tcp:ADDRESS:PORT`, `udp:ADDRESS:PORT`, `ping:ADDRESS`, `name:NAME`. A name
//! may stand for an address; it is asked of the resolver that /etc/resolv.conf names.
//!
//! A program of its own, for an emulated guest takes ten seconds to start a Python;
//! and a thread for each target, since none of them computes.

// A tool of tests fails as tests do, and prints what they read.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, recv, sendto, socket};

/// What else may come after the wanted targets have ended.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// How something ended: a word, in the end of its line.
type Ended = Result<String, io::Error>;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let times = arguments.next().expect("SECONDS[:WANTED] TARGET…");
    let (seconds, wanted) = times.split_once(':').unwrap_or((&times, "0"));
    let mut until = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
    let mut wanted: usize = wanted.parse().unwrap();
    let first = wanted;
    let targets: Vec<String> = arguments.collect();
    let mut ended = vec![None; targets.len()];
    let (tell, told) = mpsc::channel();
    let patience = until - Instant::now();
    for (number, target) in targets.iter().cloned().enumerate() {
        let tell = tell.clone();
        thread::spawn(move || drop(tell.send((number, attempt(&target, patience)))));
    }
    drop(tell);
    while let Ok((number, end)) = told.recv_timeout(until.saturating_duration_since(Instant::now()))
    {
        ended[number] = Some(end);
        if number < first {
            wanted -= 1;
            if wanted == 0 {
                until = until.min(Instant::now() + AFTERWARDS);
            }
        }
    }
    let line = targets.iter().zip(ended).map(|(target, end)| {
        let end = end.unwrap_or_else(|| "silent".to_owned());
        format!("{target}={end}")
    });
    println!("{}", line.collect::<Vec<_>>().join(" "));
}

/// One target, in as long as there is.
fn attempt(target: &str, patience: Duration) -> String {
    let (kind, rest) = target.split_once(':').expect("KIND:…");
    let (host, port) = match kind {
        "tcp" | "udp" => rest.rsplit_once(':').expect("ADDRESS:PORT"),
        _ => (rest, "0"),
    };
    let port = port.parse().unwrap();
    let end = || -> Ended {
        let address = match address(host) {
            Some(address) if kind != "name" => address?,
            _ => match ask(host, patience)? {
                Ok(found) if kind == "name" => return Ok(found.join(",")),
                Ok(found) => SocketAddr::new(found[0].parse().unwrap(), 0),
                Err(code) => return Ok(code.to_owned()),
            },
        };
        let address = with_port(address, port);
        match kind {
            "tcp" => TcpStream::connect_timeout(&address, patience).map(drop),
            "udp" => datagram(address, patience, b"anybody there?").map(drop),
            _ => ping(address),
        }?;
        Ok("open".to_owned())
    };
    end().unwrap_or_else(|error| word(&error))
}

/// A literal address; `%` is followed by its interface's name.
fn address(host: &str) -> Option<io::Result<SocketAddr>> {
    if let Some((address, zone)) = host.split_once('%') {
        let address = address.parse().ok()?;
        let zone = rustix::net::socket(AddressFamily::INET, SocketType::DGRAM, None)
            .and_then(|socket| rustix::net::netdevice::name_to_index(socket, zone));
        return Some(match zone {
            Ok(zone) => Ok(SocketAddrV6::new(address, 0, 0, zone).into()),
            Err(error) => Err(error.into()),
        });
    }
    let address: IpAddr = host.parse().ok()?;
    Some(Ok(SocketAddr::new(address, 0)))
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// Sends one and waits for another.
fn datagram(address: SocketAddr, patience: Duration, said: &[u8]) -> io::Result<Vec<u8>> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => "[::]:0".parse().unwrap(),
    };
    let socket = UdpSocket::bind(any)?;
    if address.is_ipv4() {
        socket.set_broadcast(true)?;
    }
    socket.set_read_timeout(Some(patience))?;
    socket.connect(address)?;
    socket.send(said)?;
    let mut answer = vec![0; 2048];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}

/// As ping does it: the kernel keeps count of what is whose.
fn ping(address: SocketAddr) -> io::Result<()> {
    const ECHO: [u8; 8] = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let socket = socket(family, SocketType::DGRAM, Some(ipproto::ICMP))?;
    sendto(&socket, &ECHO, SendFlags::empty(), &address)?;
    recv(&socket, &mut [0; 64][..], RecvFlags::empty())?;
    Ok(())
}

/// The addresses that the resolver has for a name, or its code as getaddrinfo puts it:
/// -3 to be tried again, -2 no such name.
fn ask(name: &str, patience: Duration) -> io::Result<Result<Vec<String>, &'static str>> {
    let resolvers = fs::read_to_string("/etc/resolv.conf")?;
    let resolver = resolvers
        .lines()
        .find_map(|line| line.strip_prefix("nameserver "))
        .unwrap_or("192.168.100.1");
    let resolver = SocketAddr::new(resolver.trim().parse().unwrap(), 53);
    // One question for an A record, recursion desired (RFC 1035, 4.1).
    let mut question = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(u8::try_from(label.len()).unwrap());
        question.extend(label.as_bytes());
    }
    question.extend([0, 0, 1, 0, 1]);
    let answer = datagram(resolver, patience, &question)?;
    let mut found = found(&answer, question.len()).unwrap_or_default();
    found.sort();
    found.dedup();
    if !found.is_empty() {
        return Ok(Ok(found));
    }
    Ok(Err(match answer.get(3).map(|byte| byte & 15) {
        Some(2 | 5) => "gai-3",
        Some(3) => "gai-2",
        _ => "gai-5",
    }))
}

/// The addresses of an answer whose question ends at `at`; `None` where it is cut off.
fn found(answer: &[u8], mut at: usize) -> Option<Vec<String>> {
    let number = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let mut found = Vec::new();
    for _ in 0..number(6)? {
        while answer.get(at)? & 0xc0 == 0 && answer[at] != 0 {
            at += 1 + usize::from(answer[at]);
        }
        at += if answer[at] == 0 { 1 } else { 2 };
        let (kind, size) = (number(at)?, usize::from(number(at + 8)?));
        at += 10;
        if kind == 1 {
            let address: [u8; 4] = answer.get(at..at + size)?.try_into().ok()?;
            found.push(Ipv4Addr::from(address).to_string());
        }
        at += size;
    }
    Some(found)
}

fn word(error: &io::Error) -> String {
    use rustix::io::Errno;
    let Some(number) = error.raw_os_error() else {
        // The standard library's own word for a deadline.
        return "silent".to_owned();
    };
    match Errno::from_raw_os_error(number) {
        Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::ACCESS | Errno::PERM => {
            "refused".to_owned()
        }
        Errno::AGAIN => "silent".to_owned(),
        Errno::NETUNREACH => "ENETUNREACH".to_owned(),
        Errno::ADDRNOTAVAIL => "EADDRNOTAVAIL".to_owned(),
        Errno::INVAL => "EINVAL".to_owned(),
        Errno::AFNOSUPPORT => "EAFNOSUPPORT".to_owned(),
        _ => format!("errno-{number}"),
    }
}
