//! One rtnetlink socket that asks and waits, for threads that may block. It
//! belongs to the network namespace in which it was opened.

use std::io;

use rtnetlink::{
    packet_core::{
        NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NetlinkHeader, NetlinkMessage, NetlinkPayload,
    },
    packet_route::{
        AddressFamily, RouteNetlinkMessage,
        address::AddressMessage,
        link::{LinkAttribute, LinkMessage},
        neighbour::NeighbourMessage,
        tc::TcMessage,
    },
    sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE},
};

/// What one look at a namespace found.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// Links.
    pub(crate) links: Vec<LinkMessage>,
    /// IPv4 addresses.
    pub(crate) addresses: Vec<AddressMessage>,
    /// IPv4 neighbours.
    pub(crate) neighbours: Vec<NeighbourMessage>,
    /// The bridges' forwarding entries.
    pub(crate) forwarding: Vec<NeighbourMessage>,
    /// What waits before a link.
    pub(crate) queues: Vec<TcMessage>,
}

impl Seen {
    /// The link of this name.
    pub(crate) fn link(&self, name: &str) -> Option<&LinkMessage> {
        let named = |a: &LinkAttribute| matches!(a, LinkAttribute::IfName(is) if is == name);
        self.links
            .iter()
            .find(|link| link.attributes.iter().any(named))
    }

    /// Its index.
    pub(crate) fn index(&self, name: &str) -> Option<u32> {
        self.link(name).map(|link| link.header.index)
    }
}

/// A socket to the kernel's routing tables.
pub(crate) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    /// Opens a socket in the calling thread's network namespace.
    pub(crate) fn open() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self {
            socket,
            sequence: 0,
        })
    }

    /// Asks for one change and waits until it is made.
    pub(crate) fn act(&mut self, message: RouteNetlinkMessage, flags: u16) -> io::Result<()> {
        self.ask(message, flags | NLM_F_ACK, |_| ())
    }

    /// The index of the link called `name`, if there is one.
    pub(crate) fn link_index(&mut self, name: &str) -> io::Result<Option<u32>> {
        let mut wanted = LinkMessage::default();
        wanted
            .attributes
            .push(LinkAttribute::IfName(name.to_owned()));
        let mut index = None;
        let asked = self.ask(RouteNetlinkMessage::GetLink(wanted), NLM_F_ACK, |told| {
            if let RouteNetlinkMessage::NewLink(link) = told {
                index = Some(link.header.index);
            }
        });
        match asked {
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
            Err(error) => Err(error),
            Ok(()) => Ok(index),
        }
    }

    /// The names of all links.
    pub(crate) fn link_names(&mut self) -> io::Result<Vec<String>> {
        let links = self.links()?;
        let names = links.iter().filter_map(|link| {
            link.attributes
                .iter()
                .find_map(|attribute| match attribute {
                    LinkAttribute::IfName(name) => Some(name.clone()),
                    _ => None,
                })
        });
        Ok(names.collect())
    }

    /// All links, with all that is known of them.
    fn links(&mut self) -> io::Result<Vec<LinkMessage>> {
        let mut links = Vec::new();
        let all = RouteNetlinkMessage::GetLink(LinkMessage::default());
        self.ask(all, NLM_F_DUMP, |told| {
            if let RouteNetlinkMessage::NewLink(link) = told {
                links.push(link);
            }
        })?;
        Ok(links)
    }

    /// All links, addresses, neighbours, forwarding entries and queues of this namespace.
    pub(crate) fn all(&mut self) -> io::Result<Seen> {
        let mut seen = Seen {
            links: self.links()?,
            ..Seen::default()
        };
        let mut of = AddressMessage::default();
        of.header.family = AddressFamily::Inet;
        self.ask(RouteNetlinkMessage::GetAddress(of), NLM_F_DUMP, |told| {
            if let RouteNetlinkMessage::NewAddress(address) = told {
                seen.addresses.push(address);
            }
        })?;
        for (family, list) in [
            (AddressFamily::Inet, &mut seen.neighbours),
            (AddressFamily::Bridge, &mut seen.forwarding),
        ] {
            let mut of = NeighbourMessage::default();
            of.header.family = family;
            self.ask(RouteNetlinkMessage::GetNeighbour(of), NLM_F_DUMP, |told| {
                if let RouteNetlinkMessage::NewNeighbour(entry) = told {
                    list.push(entry);
                }
            })?;
        }
        let of = RouteNetlinkMessage::GetQueueDiscipline(TcMessage::default());
        self.ask(of, NLM_F_DUMP, |told| {
            if let RouteNetlinkMessage::NewQueueDiscipline(queue) = told {
                seen.queues.push(queue);
            }
        })?;
        Ok(seen)
    }

    /// Sends one request and reads until its acknowledgement, its end or its error.
    fn ask(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        mut seen: impl FnMut(RouteNetlinkMessage),
    ) -> io::Result<()> {
        self.sequence += 1;
        let mut header = NetlinkHeader::default();
        header.flags = NLM_F_REQUEST | flags;
        header.sequence_number = self.sequence;
        let mut request = NetlinkMessage::new(header, NetlinkPayload::from(message));
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.socket.send(&bytes, 0)?;
        loop {
            let (datagram, _kernel) = self.socket.recv_from_full()?;
            let mut rest = &datagram[..];
            while rest.len() >= 16 {
                let answer = NetlinkMessage::<RouteNetlinkMessage>::deserialize(rest)
                    .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
                let length = (answer.header.length as usize + 3) & !3;
                rest = rest.get(length.max(16)..).unwrap_or_default();
                if answer.header.sequence_number != self.sequence {
                    continue;
                }
                match answer.payload {
                    NetlinkPayload::InnerMessage(told) => seen(told),
                    NetlinkPayload::Error(error) if error.code.is_some() => {
                        return Err(error.to_io());
                    }
                    NetlinkPayload::Error(_) | NetlinkPayload::Done(_) => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}
