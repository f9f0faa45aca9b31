//! Addresses of allowed names that are open, and for the sake of which names.
//!
//! The kernel alone knows how long each stays open, since use keeps it so; the
//! names are noted beside the policy, a line for each pair. So the next agent, and
//! the next policy, close no address whose name is still allowed.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs::{self, File},
    io::{self, Write as _},
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clarateach_domain::egress::Egress;
use tracing::warn;

use super::rules::NAME_LASTS;
use crate::rundir::replace;

/// Names that are remembered of one address: a network of caches has one address
/// for thousands. The ones asked for last count.
const MOST_NAMES: usize = 32;
/// So many more than when it was last tidied up: then the kernel is asked which of
/// them are still open.
const MOST_NEW: usize = 1024;

/// What the kernel's set holds: an address and how long it stays open.
pub(super) type Open = BTreeMap<Ipv4Addr, Duration>;

/// What was learnt from the resolver's answers.
#[derive(Debug, Clone, Default)]
pub(super) struct Learnt {
    note: PathBuf,
    addresses: BTreeMap<Ipv4Addr, Address>,
    /// How many there were when they were last compared with the kernel's.
    tidy: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Address {
    names: Vec<String>,
    /// It is open until then at least; use may have kept it open for longer.
    until: Instant,
}

impl Learnt {
    /// What an earlier agent noted. Of these only what the kernel still has open
    /// counts, see [`Learnt::keep`].
    pub(super) fn noted(note: PathBuf, now: Instant) -> Self {
        let text = fs::read_to_string(&note).unwrap_or_default();
        let mut learnt = Self {
            note,
            ..Self::default()
        };
        // The last line may be cut off: it has no end then.
        for line in text.split_inclusive('\n') {
            let pair = line.strip_suffix('\n').and_then(|l| l.split_once(' '));
            if let Some((address, name)) = pair
                && let Ok(address) = address.parse()
            {
                learnt.add(address, name, now);
            }
        }
        learnt
    }

    /// Keeps what is open by the kernel's word or by our own, for the sake of a
    /// name that may be asked for.
    pub(super) fn keep(&mut self, open: &Open, egress: &Egress, now: Instant) {
        for (address, left) in open {
            if let Some(known) = self.addresses.get_mut(address) {
                known.until = known.until.max(now + *left);
            }
        }
        self.addresses.retain(|_, address| {
            address.names.retain(|name| egress.answers(name));
            address.until > now && !address.names.is_empty()
        });
        self.tidy = self.addresses.len();
    }

    /// Whether it is time to [`Learnt::keep`] only what is open.
    pub(super) fn is_crowded(&self) -> bool {
        self.addresses.len() > self.tidy * 2 + MOST_NEW
    }

    /// What is open, and for how long.
    pub(super) fn open(&self, now: Instant) -> Open {
        let left = |known: &Address| known.until.saturating_duration_since(now);
        let open = self.addresses.iter();
        open.map(|(address, known)| (*address, left(known)))
            .collect()
    }

    /// Notes the pairs that are new, and says which addresses are to be opened, or
    /// renewed: those that were not for half their time.
    pub(super) fn learn(
        &mut self,
        name: &str,
        addresses: &[Ipv4Addr],
        now: Instant,
    ) -> Vec<Ipv4Addr> {
        let mut lines = String::new();
        let mut stale = Vec::new();
        for address in addresses {
            let known = self.addresses.get(address);
            if !known.is_some_and(|known| known.names.iter().any(|n| n == name)) {
                writeln!(lines, "{address} {name}").ok();
            }
            if known.is_none_or(|known| known.until <= now + NAME_LASTS / 2) {
                stale.push(*address);
            }
            self.add(*address, name, now);
        }
        if let Err(cause) = append(&self.note, &lines) {
            warn!(%cause, "the next agent will not know of an allowed name's address");
        }
        stale
    }

    /// These were opened.
    pub(super) fn opened(&mut self, addresses: &[Ipv4Addr], now: Instant) {
        for address in addresses {
            if let Some(known) = self.addresses.get_mut(address) {
                known.until = now + NAME_LASTS;
            }
        }
    }

    /// Replaces the note by what is known now.
    pub(super) fn write(&self) {
        let mut text = String::new();
        for (address, known) in &self.addresses {
            for name in &known.names {
                writeln!(text, "{address} {name}").ok();
            }
        }
        if fs::read_to_string(&self.note).unwrap_or_default() == text {
            return;
        }
        if let Err(cause) = replace(&self.note, text.as_bytes(), false) {
            warn!(%cause, "the next agent will not know of allowed names' addresses");
        }
    }

    fn add(&mut self, address: Ipv4Addr, name: &str, now: Instant) {
        let known = self.addresses.entry(address).or_insert(Address {
            names: Vec::new(),
            until: now,
        });
        if known.names.iter().any(|known| known == name) {
            return;
        }
        if known.names.len() == MOST_NAMES {
            known.names.remove(0);
        }
        known.names.push(name.to_owned());
    }
}

fn append(note: &Path, lines: &str) -> io::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    let mut file = File::options().create(true).append(true).open(note)?;
    file.write_all(lines.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
    const B: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 8);

    fn list(names: &[&str]) -> Egress {
        Egress::allow_list(names.iter().map(|name| name.parse().unwrap()).collect())
    }

    #[test]
    fn an_address_stays_open_while_one_of_its_names_is_allowed() {
        let (dir, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut learnt = Learnt::noted(dir.path().join("names"), now);
        assert_eq!(learnt.learn("a.org", &[A, B], now), [A, B]);
        learnt.opened(&[A, B], now);
        assert!(
            learnt.learn("b.org", &[A], now).is_empty(),
            "is open already"
        );
        learnt.keep(&Open::new(), &list(&["b.org"]), now);
        assert_eq!(learnt.open(now), Open::from([(A, NAME_LASTS)]));
        learnt.keep(&Open::new(), &list(&["a.org"]), now);
        assert!(learnt.open(now).is_empty(), "a.org went with the last list");
    }

    #[test]
    fn the_next_agent_keeps_what_the_kernel_has_open() {
        let (dir, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let note = dir.path().join("names");
        let mut learnt = Learnt::noted(note.clone(), now);
        learnt.learn("a.org", &[A, B], now);
        learnt.learn("b.org", &[A], now);
        // Cut off in the middle of a line.
        append(&note, "198.51.100.9 a.or").unwrap();
        let minute = Duration::from_mins(1);
        let standing = Open::from([(A, minute), (Ipv4Addr::new(198, 51, 100, 9), minute)]);
        let mut next = Learnt::noted(note.clone(), now);
        next.keep(&standing, &list(&["b.org"]), now);
        assert_eq!(next.open(now), Open::from([(A, minute)]));
        next.write();
        assert_eq!(fs::read_to_string(&note).unwrap(), "198.51.100.7 b.org\n");
    }

    #[test]
    fn use_outlives_the_hour_and_asking_renews_in_time() {
        let (dir, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut learnt = Learnt::noted(dir.path().join("names"), now);
        learnt.learn("a.org", &[A, B], now);
        learnt.opened(&[A, B], now);
        let late = now + NAME_LASTS * 3 / 4;
        assert_eq!(learnt.learn("a.org", &[A], late), [A]);
        let later = now + NAME_LASTS * 2;
        let used = Open::from([(A, Duration::from_mins(5))]);
        learnt.keep(&used, &list(&["a.org"]), later);
        assert_eq!(learnt.open(later), used, "B was forgotten by the kernel");
    }

    #[test]
    fn one_address_does_not_gather_names_without_end() {
        let (dir, now) = (tempfile::tempdir().unwrap(), Instant::now());
        let mut learnt = Learnt::noted(dir.path().join("names"), now);
        for number in 0..=MOST_NAMES {
            learnt.learn(&format!("n{number}.org"), &[A], now);
        }
        assert_eq!(learnt.addresses[&A].names.len(), MOST_NAMES);
        assert_eq!(learnt.addresses[&A].names[0], "n1.org");
    }
}
