//! How many of something one address, and all together, may hold at once.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
};

/// What is held, by address.
#[derive(Debug, Clone)]
pub(super) struct Addresses {
    each: usize,
    all: usize,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    held: HashMap<IpAddr, usize>,
    total: usize,
}

/// One place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    addresses: Addresses,
    of: IpAddr,
}

impl Addresses {
    /// At most `each` for one address and `all` in sum.
    pub(super) fn new(each: usize, all: usize) -> Self {
        Self {
            each,
            all,
            table: Arc::default(),
        }
    }

    /// A place for `address`, if there is one left.
    pub(super) fn enter(&self, address: IpAddr) -> Option<Place> {
        let of = address.to_canonical();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let held = table.held.get(&of).copied().unwrap_or(0);
        if held >= self.each || table.total >= self.all {
            return None;
        }
        table.held.insert(of, held + 1);
        table.total += 1;
        Some(Place {
            addresses: self.clone(),
            of,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let table = &self.addresses.table;
        let mut table = table.lock().unwrap_or_else(PoisonError::into_inner);
        table.total -= 1;
        match table.held.get_mut(&self.of) {
            Some(1) | None => {
                table.held.remove(&self.of);
            }
            Some(held) => *held -= 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_leaves_places_for_others_and_gives_its_own_back() {
        let addresses = Addresses::new(2, 3);
        let [a, b, c] = [1, 2, 3].map(|n| IpAddr::from([192, 0, 2, n]));
        let held = [addresses.enter(a), addresses.enter(a)];
        assert!(held.iter().all(Option::is_some));
        assert!(addresses.enter(a).is_none());
        let other = addresses.enter(b);
        assert!(other.is_some());
        assert!(addresses.enter(c).is_none());
        drop(held);
        assert!(addresses.enter(c).is_some());
        drop(other);
        assert!(addresses.table.lock().unwrap().held.is_empty());
    }
}
