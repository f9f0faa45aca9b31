//! Tries every target at once and says of each how it ended, in one line:
//! `target=open`, `target=refused`, `target=silent` or `target=<error>`. Usage:
//! `clarateach-probe SECONDS[:WANTED] TARGET…`
//!
//! With WANTED it ends three seconds after the first so many targets have ended, if
//! that is sooner: what answers at all answers no later than they do.
//!
//! Targets: `tcp:ADDRESS:PORT`, `udp:ADDRESS:PORT`, `ping:ADDRESS`, `name:NAME`, and
//! `get:ADDRESS:PORT`, which asks for a page and goes where its answer sends it. A name
//! may stand for an address; it is asked of the resolver that /etc/resolv.conf names.
//!
//! A program of its own and one thread: an emulated guest takes ten seconds to start a
//! Python or a curl, and a tenth of one for a thread.

// A tool of tests fails as tests do, and prints what they read.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, connect, ipproto,
        netdevice::name_to_index, recv, send, sendto, socket_with, sockopt,
    },
};

/// What else may come after the wanted targets have ended.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// What a target waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// The resolver's answer.
    Name,
    /// A connection.
    Open,
    /// Anything at all.
    Answer,
    /// The page.
    Page,
}

/// One target on its way.
struct Attempt {
    target: String,
    kind: String,
    port: u16,
    wait: Wait,
    socket: Option<OwnedFd>,
    ended: Option<String>,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let times = arguments.next().expect("SECONDS[:WANTED] TARGET…");
    let (seconds, wanted) = times.split_once(':').unwrap_or((&times, "0"));
    let mut until = Instant::now() + Duration::from_secs(seconds.parse().unwrap());
    let mut wanted: usize = wanted.parse().unwrap();
    let mut attempts: Vec<_> = arguments.map(Attempt::begin).collect();
    loop {
        if wanted > 0 && attempts[..wanted].iter().all(|one| one.ended.is_some()) {
            until = until.min(Instant::now() + AFTERWARDS);
            wanted = 0;
        }
        let left: Vec<_> = (0..attempts.len())
            .filter(|number| attempts[*number].ended.is_none())
            .collect();
        let patience = until.saturating_duration_since(Instant::now());
        if left.is_empty() || patience.is_zero() {
            break;
        }
        let ready: Vec<_> = {
            let mut polled: Vec<_> = left.iter().map(|one| attempts[*one].polled()).collect();
            poll(&mut polled, Some(&Timespec::try_from(patience).unwrap())).unwrap();
            let ready = left.iter().zip(&polled);
            let ready = ready.filter(|(_, polled)| !polled.revents().is_empty());
            ready.map(|(number, _)| *number).collect()
        };
        for number in ready {
            attempts[number].go_on();
        }
    }
    let line = attempts.iter().map(|attempt| {
        let end = attempt.ended.as_deref().unwrap_or("silent");
        format!("{}={end}", attempt.target)
    });
    println!("{}", line.collect::<Vec<_>>().join(" "));
}

impl Attempt {
    fn begin(target: String) -> Self {
        let (kind, rest) = target.split_once(':').expect("KIND:…");
        let (host, port) = match kind {
            "tcp" | "udp" | "get" => rest.rsplit_once(':').expect("ADDRESS:PORT"),
            _ => (rest, "0"),
        };
        let host = host.to_owned();
        let mut attempt = Self {
            kind: kind.to_owned(),
            port: port.parse().unwrap(),
            target,
            wait: Wait::Open,
            socket: None,
            ended: None,
        };
        let begun = attempt.set_out(&host);
        attempt.ended_by(begun);
        attempt
    }

    /// To the address, or first to whoever knows it.
    fn set_out(&mut self, host: &str) -> io::Result<()> {
        match address(host) {
            Some(address) if self.kind != "name" => self.reach(address?),
            _ => self.ask(host),
        }
    }

    fn reach(&mut self, mut address: SocketAddr) -> io::Result<()> {
        address.set_port(self.port);
        match self.kind.as_str() {
            "tcp" | "get" => {
                self.wait = Wait::Open;
                let socket = open(address, SocketType::STREAM, None)?;
                match connect(&socket, &address) {
                    Ok(()) | Err(Errno::INPROGRESS) => self.socket = Some(socket),
                    Err(error) => return Err(error.into()),
                }
            }
            "udp" => self.say(address, b"anybody there?")?,
            _ => {
                // As ping does it: the kernel keeps count of what is whose.
                const ECHO: [u8; 8] = [8, 0, 0xf7, 0xff, 0, 0, 0, 0];
                self.wait = Wait::Answer;
                let socket = open(address, SocketType::DGRAM, Some(ipproto::ICMP))?;
                sendto(&socket, &ECHO, SendFlags::empty(), &address)?;
                self.socket = Some(socket);
            }
        }
        Ok(())
    }

    /// One datagram, whose answer is waited for.
    fn say(&mut self, address: SocketAddr, what: &[u8]) -> io::Result<()> {
        self.wait = Wait::Answer;
        let socket = open(address, SocketType::DGRAM, None)?;
        sockopt::set_socket_broadcast(&socket, true)?;
        connect(&socket, &address)?;
        send(&socket, what, SendFlags::empty())?;
        self.socket = Some(socket);
        Ok(())
    }

    /// One question for an A record, recursion desired (RFC 1035, 4.1).
    fn ask(&mut self, name: &str) -> io::Result<()> {
        let resolvers = fs::read_to_string("/etc/resolv.conf")?;
        let resolver = resolvers
            .lines()
            .find_map(|line| line.strip_prefix("nameserver "))
            .unwrap_or("192.168.100.1");
        let resolver = SocketAddr::new(resolver.trim().parse().unwrap(), 53);
        let mut question = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len()).unwrap());
            question.extend(label.as_bytes());
        }
        question.extend([0, 0, 1, 0, 1]);
        self.say(resolver, &question)?;
        self.wait = Wait::Name;
        Ok(())
    }

    fn polled(&self) -> PollFd<'_> {
        let flags = match self.wait {
            Wait::Open => PollFlags::OUT,
            Wait::Name | Wait::Answer | Wait::Page => PollFlags::IN,
        };
        PollFd::new(self.socket.as_ref().expect("it has not ended"), flags)
    }

    /// Its socket has something.
    fn go_on(&mut self) {
        let gone = self.step();
        self.ended_by(gone);
    }

    fn ended_by(&mut self, gone: io::Result<()>) {
        if let Err(error) = gone
            && error.raw_os_error() != Some(Errno::AGAIN.raw_os_error())
        {
            self.ended = Some(word(&error));
        }
    }

    fn step(&mut self) -> io::Result<()> {
        let socket = self.socket.as_ref().expect("it has not ended");
        if self.wait == Wait::Open {
            sockopt::socket_error(socket)??;
            if self.kind == "get" {
                send(socket, b"GET / HTTP/1.0\r\n\r\n", SendFlags::empty())?;
                self.wait = Wait::Page;
            } else {
                self.ended = Some("open".to_owned());
            }
            return Ok(());
        }
        let mut answer = [0; 2048];
        let (length, _) = recv(socket, &mut answer[..], RecvFlags::empty())?;
        let answer = &answer[..length];
        match self.wait {
            Wait::Name => self.named(answer),
            Wait::Page => self.follow(answer),
            Wait::Answer | Wait::Open => {
                self.ended = Some("open".to_owned());
                Ok(())
            }
        }
    }

    fn named(&mut self, answer: &[u8]) -> io::Result<()> {
        let mut found = found(answer).unwrap_or_default();
        found.sort();
        found.dedup();
        if found.is_empty() {
            // As getaddrinfo puts it: -3 to be tried again, -2 no such name.
            let code = match answer.get(3).map(|byte| byte & 15) {
                Some(2 | 5) => "gai-3",
                Some(3) => "gai-2",
                _ => "gai-5",
            };
            self.ended = Some(code.to_owned());
        } else if self.kind == "name" {
            let found: Vec<_> = found.iter().map(ToString::to_string).collect();
            self.ended = Some(found.join(","));
        } else {
            return self.reach(SocketAddr::new(found[0].into(), 0));
        }
        Ok(())
    }

    /// Where the page sends to; one that sends nowhere is the end of the way.
    fn follow(&mut self, page: &[u8]) -> io::Result<()> {
        let page = String::from_utf8_lossy(page).to_ascii_lowercase();
        let place = page
            .lines()
            .find_map(|line| line.strip_prefix("location: http://"))
            .and_then(|place| place.split('/').next());
        let Some(place) = place else {
            self.ended = Some("open".to_owned());
            return Ok(());
        };
        let (host, port) = place
            .trim()
            .rsplit_once(':')
            .unwrap_or((place.trim(), "80"));
        self.port = port.parse().unwrap();
        "tcp".clone_into(&mut self.kind);
        self.set_out(host)
    }
}

fn open(to: SocketAddr, kind: SocketType, protocol: Option<Protocol>) -> io::Result<OwnedFd> {
    let family = match to {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(socket_with(family, kind, flags, protocol)?)
}

/// A literal address; `%` is followed by its interface's name.
fn address(host: &str) -> Option<io::Result<SocketAddr>> {
    if let Some((address, zone)) = host.split_once('%') {
        let address = address.parse().ok()?;
        let any = open((Ipv4Addr::UNSPECIFIED, 0).into(), SocketType::DGRAM, None);
        let zone = any.and_then(|socket| Ok(name_to_index(socket, zone)?));
        return Some(zone.map(|zone| SocketAddrV6::new(address, 0, 0, zone).into()));
    }
    let address: IpAddr = host.parse().ok()?;
    Some(Ok(SocketAddr::new(address, 0)))
}

/// The addresses of an answer to one question; `None` where it is cut off.
fn found(answer: &[u8]) -> Option<Vec<Ipv4Addr>> {
    let number = |at: usize| Some(u16::from_be_bytes([*answer.get(at)?, *answer.get(at + 1)?]));
    let name_ends = |mut at: usize| {
        while answer.get(at)? & 0xc0 == 0 && answer[at] != 0 {
            at += 1 + usize::from(answer[at]);
        }
        Some(at + if answer[at] == 0 { 1 } else { 2 })
    };
    let mut found = Vec::new();
    let mut at = name_ends(12)? + 4;
    for _ in 0..number(6)? {
        at = name_ends(at)?;
        let (kind, size) = (number(at)?, usize::from(number(at + 8)?));
        at += 10;
        if kind == 1 {
            let address: [u8; 4] = answer.get(at..at + size)?.try_into().ok()?;
            found.push(address.into());
        }
        at += size;
    }
    Some(found)
}

fn word(error: &io::Error) -> String {
    let Some(number) = error.raw_os_error() else {
        return error.to_string().replace(' ', "-");
    };
    match Errno::from_raw_os_error(number) {
        Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::ACCESS | Errno::PERM => "refused",
        Errno::NETUNREACH => "ENETUNREACH",
        Errno::ADDRNOTAVAIL => "EADDRNOTAVAIL",
        Errno::INVAL => "EINVAL",
        Errno::AFNOSUPPORT => "EAFNOSUPPORT",
        _ => return format!("errno-{number}"),
    }
    .to_owned()
}
