//! How many connections one address may have open.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// From one address: a school of five hundred sits behind one, with a terminal
/// and some file transfers each.
const PER_ADDRESS: usize = 4096;
/// From all.
const IN_ALL: usize = 16_384;

/// Open connections by address.
#[derive(Debug, Clone, Default)]
pub(crate) struct Addresses(Arc<Mutex<Table>>);

#[derive(Debug, Default)]
struct Table {
    open: HashMap<IpAddr, usize>,
    total: usize,
}

/// One open connection's place, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    addresses: Addresses,
    of: IpAddr,
}

impl Addresses {
    /// A place for a connection from `address`, if there is one left.
    pub(crate) fn enter(&self, address: IpAddr) -> Option<Place> {
        let mut table = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = table.open.get(&address).copied().unwrap_or(0);
        if open >= PER_ADDRESS || table.total >= IN_ALL {
            return None;
        }
        table.open.insert(address, open + 1);
        table.total += 1;
        Some(Place {
            addresses: self.clone(),
            of: address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut table = self
            .addresses
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        table.total -= 1;
        match table.open.get_mut(&self.of) {
            Some(1) | None => {
                table.open.remove(&self.of);
            }
            Some(open) => *open -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let addresses = Addresses::default();
        let here = IpAddr::from([10, 0, 0, 1]);
        let mut places: Vec<_> = (0..PER_ADDRESS)
            .map_while(|_| addresses.enter(here))
            .collect();
        assert_eq!(places.len(), PER_ADDRESS);
        assert!(addresses.enter(here).is_none());
        assert!(addresses.enter(IpAddr::from([10, 0, 0, 2])).is_some());
        places.pop();
        assert!(addresses.enter(here).is_some());
        drop(places);
        assert!(addresses.0.lock().unwrap().open.is_empty());
    }
}
