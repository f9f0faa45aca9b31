//! How many connections there may be: of one address, of all, and of those whose
//! certificate says that they are ours.
//!
//! Way: accept -> [`Addresses::enter`] -> handshake -> [`Place::settle`]. Who is
//! ours is known after the handshake only, and often comes from an address that
//! learners come from, too: where it has no place left, a few may still show who
//! they are.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::tls::Peer;

/// From one address: a school of five hundred sits behind one, with a terminal
/// and some file transfers each.
const PER_ADDRESS: usize = 4096;
/// From all.
const IN_ALL: usize = 16_384;
/// The gateway's, for learners who cannot come by themselves: as many as an address's.
const GATEWAY: usize = 4096;
/// The control plane's: it has one, and another while it renews that.
const CONTROL_PLANE: usize = 64;
/// Those that found no place and may shake hands all the same.
const VISITORS: usize = 128;

/// Open connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    open: HashMap<IpAddr, usize>,
    total: usize,
    visitors: usize,
    gateway: usize,
    control_plane: usize,
}

/// What a place is counted among.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Among {
    Address(IpAddr),
    Visitors,
    Gateway,
    ControlPlane,
}

/// One open connection's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    addresses: Addresses,
    among: Among,
}

impl Addresses {
    /// A place for a connection from `address` until its handshake is done, if
    /// there is one left.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Place> {
        self.take(Among::Address(address))
            .or_else(|| self.take(Among::Visitors))
    }

    fn take(&self, among: Among) -> Option<Place> {
        self.lock().take(among).then(|| Place {
            addresses: self.clone(),
            among,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The place of a connection whose other end is known, if there is one left.
    pub(crate) fn settle(self, peer: Peer) -> Option<Place> {
        match (peer, self.among) {
            (Peer::Learner, Among::Visitors) => None,
            (Peer::Learner, _) => Some(self),
            (Peer::Gateway, _) => self.addresses.take(Among::Gateway),
            (Peer::ControlPlane, _) => self.addresses.take(Among::ControlPlane),
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.addresses.lock().give_back(self.among);
    }
}

impl Table {
    fn take(&mut self, among: Among) -> bool {
        let (count, limit) = match among {
            Among::Address(address) => {
                let open = self.open.get(&address).copied().unwrap_or(0);
                if open >= PER_ADDRESS || self.total >= IN_ALL {
                    return false;
                }
                self.open.insert(address, open + 1);
                (&mut self.total, IN_ALL)
            }
            Among::Visitors => (&mut self.visitors, VISITORS),
            Among::Gateway => (&mut self.gateway, GATEWAY),
            Among::ControlPlane => (&mut self.control_plane, CONTROL_PLANE),
        };
        let room = *count < limit;
        *count += usize::from(room);
        room
    }

    fn give_back(&mut self, among: Among) {
        match among {
            Among::Address(address) => {
                self.total -= 1;
                match self.open.get_mut(&address) {
                    Some(1) | None => {
                        self.open.remove(&address);
                    }
                    Some(open) => *open -= 1,
                }
            }
            Among::Visitors => self.visitors -= 1,
            Among::Gateway => self.gateway -= 1,
            Among::ControlPlane => self.control_plane -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(addresses: &Addresses, from: IpAddr, peer: Peer) -> Vec<Place> {
        let settled = || addresses.enter(from)?.settle(peer);
        std::iter::from_fn(settled).collect()
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let addresses = Addresses::default();
        let here = IpAddr::from([10, 0, 0, 1]);
        let mut places = fill(&addresses, here, Peer::Learner);
        assert_eq!(places.len(), PER_ADDRESS);
        let elsewhere = addresses.enter(IpAddr::from([10, 0, 0, 2])).unwrap();
        assert!(elsewhere.settle(Peer::Learner).is_some());
        places.pop();
        assert_eq!(fill(&addresses, here, Peer::Learner).len(), 1);
        drop(places);
        let table = addresses.lock();
        assert!(table.open.is_empty());
        assert_eq!((table.total, table.visitors), (0, 0));
    }

    #[test]
    fn learners_take_no_place_of_the_gateways_nor_it_of_theirs() {
        let addresses = Addresses::default();
        let here = IpAddr::from([10, 0, 0, 1]);
        let learners = fill(&addresses, here, Peer::Learner);
        let gateway = fill(&addresses, here, Peer::Gateway);
        assert_eq!((learners.len(), gateway.len()), (PER_ADDRESS, GATEWAY));
        let control_plane = fill(&addresses, here, Peer::ControlPlane);
        assert_eq!(control_plane.len(), CONTROL_PLANE);
        drop(learners);
        let learners = fill(&addresses, here, Peer::Learner);
        assert_eq!(learners.len(), PER_ADDRESS, "beside a full gateway");
        drop((gateway, control_plane, learners));
        let table = addresses.lock();
        assert_eq!((table.gateway, table.control_plane, table.total), (0, 0, 0));
    }

    #[test]
    fn only_a_few_shake_hands_without_a_place() {
        let addresses = Addresses::default();
        let here = IpAddr::from([10, 0, 0, 1]);
        let _learners = fill(&addresses, here, Peer::Learner);
        let shaking: Vec<_> = std::iter::from_fn(|| addresses.enter(here)).collect();
        assert_eq!(shaking.len(), VISITORS);
    }
}
