//! Counts wrong join codes, so that guessing is told to slow down.
//!
//! Way: a wrong code -> [`WrongCodes::count`] -> how long to wait, if too many.
//! Right codes are never counted and never refused: a whole school sits behind
//! one address, and one prankster must not lock it out. What keeps guessers out
//! is the code's 50 bits; this keeps them from being a load.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Wrong codes a minute from one address.
pub const PER_ADDRESS: u32 = 120;
/// Wrong codes a minute in all.
pub const IN_ALL: u32 = 1000;
const WINDOW: Duration = Duration::from_mins(1);
/// Addresses remembered; beyond that only the sum counts.
const ADDRESSES: usize = 10_000;

/// Counts of the present minute.
#[derive(Debug, Default)]
pub struct WrongCodes(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    since: Option<Instant>,
    in_all: u32,
    by_address: HashMap<IpAddr, u32>,
}

impl WrongCodes {
    /// Counts one at `now`; the wait until the next minute if it was too many.
    pub fn count(&self, from: IpAddr, now: Instant) -> Option<Duration> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = match counts.since {
            Some(since) if now.saturating_duration_since(since) < WINDOW => since,
            _ => {
                *counts = Counts::default();
                counts.since = Some(now);
                now
            }
        };
        counts.in_all = counts.in_all.saturating_add(1);
        let room = counts.by_address.len() < ADDRESSES;
        let address = whole_network(from);
        let own = if room || counts.by_address.contains_key(&address) {
            let own = counts.by_address.entry(address).or_default();
            *own = own.saturating_add(1);
            *own
        } else {
            0
        };
        let too_many = own > PER_ADDRESS || counts.in_all > IN_ALL;
        too_many.then(|| (since + WINDOW).saturating_duration_since(now))
    }
}

/// One household has 2^64 IPv6 addresses: they count as one.
fn whole_network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::from([a, b, c, d, 0, 0, 0, 0])
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn the_121st_wrong_code_of_a_minute_is_told_to_wait() {
        let (codes, start) = (WrongCodes::default(), Instant::now());
        for n in 0..PER_ADDRESS {
            assert_eq!(codes.count(address(1), start), None, "{n}");
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(
            codes.count(address(1), later),
            Some(Duration::from_secs(40))
        );
        assert_eq!(codes.count(address(2), later), None, "others go on");
        let next = start + WINDOW;
        assert_eq!(codes.count(address(1), next), None, "a new minute");
    }

    #[test]
    fn all_addresses_together_have_a_limit_too() {
        let (codes, now) = (WrongCodes::default(), Instant::now());
        for n in 0..IN_ALL {
            assert_eq!(codes.count(address(n), now), None);
        }
        assert!(codes.count(address(IN_ALL), now).is_some());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_and_a_mapped_ipv4_as_itself() {
        for (a, b) in [
            ("2001:db8::1", "2001:db8::ffff:1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
        ] {
            let (a, b): (IpAddr, IpAddr) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(whole_network(a), whole_network(b));
        }
    }
}
