//! What becomes of a worker that no row knows.
//!
//! A row is written before its worker is asked for, so such a worker was made by a database
//! that is not this one: removed, or put back to an earlier day. The first costs money for
//! nothing; the second may be a class that is being taught just now.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// No worker younger than this is removed: what made it may still be writing.
pub const GRACE: Duration = Duration::from_mins(10);

/// What a sweep may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Remove what is surely left over; what is newer than the database is left alone.
    Remove,
    /// Say what there is, and remove nothing.
    Report,
    /// Remove what is newer than the database, too.
    All,
}

/// A worker without a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stray {
    /// When it was made, as far as its place knows.
    pub made_at: Option<DateTime<Utc>>,
    /// Whether the look before this one, a minute ago, found it too.
    pub seen_before: bool,
    /// Whether it was put in quarantine at some time.
    pub quarantined: bool,
}

/// What is done with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing yet: it is too young, or was not seen before.
    Wait,
    /// Nothing: this sweep only says what it finds.
    Report,
    /// The database may not know of it: left alone from now on, until a person decides.
    Quarantine,
    /// It goes with all that is on it.
    Remove,
}

/// The time of which a database that was put back knows nothing. Only what was made in it
/// can be somebody else's: before it this database would have a row, and since it was
/// looked at whatever has no row any more was this database's own, and is left over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// Its newest row; `None` for an empty database.
    pub newest: Option<DateTime<Utc>>,
    /// When it was looked at, by this host's clock.
    pub until: DateTime<Utc>,
}

/// A cloud's clock and this host's differ by less.
const CLOCKS_APART: Duration = Duration::from_mins(1);

impl Gap {
    fn holds(self, made: DateTime<Utc>) -> bool {
        self.newest.is_none_or(|newest| made > newest) && made <= self.until + CLOCKS_APART
    }
}

/// What becomes of `stray`.
pub fn fate(stray: Stray, mode: Mode, gap: Gap, grace: Duration, now: DateTime<Utc>) -> Fate {
    // What is of no known age is not removed either: for all that is known it is young.
    let newer = stray.made_at.is_some_and(|made| gap.holds(made));
    let young = stray.made_at.is_none_or(|made| made + grace > now);
    match mode {
        Mode::Report => Fate::Report,
        Mode::Remove if newer || stray.quarantined => Fate::Quarantine,
        Mode::Remove | Mode::All if young || !stray.seen_before => Fate::Wait,
        Mode::Remove | Mode::All => Fate::Remove,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_surely_left_over_is_removed() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let ago = |minutes: u64| now - Duration::from_mins(minutes);
        // The database's newest row was an hour old when it was looked at, half an hour ago.
        let newest = Gap {
            newest: Some(ago(60)),
            until: ago(30),
        };
        let empty = Gap {
            newest: None,
            ..newest
        };
        let old = Stray {
            made_at: Some(ago(90)),
            seen_before: true,
            quarantined: false,
        };
        let with = |change: fn(&mut Stray)| {
            let mut stray = old;
            change(&mut stray);
            stray
        };
        let recent = with(|stray| stray.made_at = stray.made_at.map(|at| at + GRACE * 5));
        for (what, stray, mode, newest, wanted) in [
            ("left over", old, Mode::Remove, newest, Fate::Remove),
            ("left over", old, Mode::Report, newest, Fate::Report),
            (
                "seen once",
                with(|stray| stray.seen_before = false),
                Mode::Remove,
                newest,
                Fate::Wait,
            ),
            ("newer", recent, Mode::Remove, newest, Fate::Quarantine),
            ("newer", recent, Mode::All, newest, Fate::Remove),
            (
                "young",
                Stray {
                    made_at: Some(ago(9)),
                    ..old
                },
                Mode::All,
                newest,
                Fate::Wait,
            ),
            (
                "newer once",
                with(|stray| stray.quarantined = true),
                Mode::Remove,
                newest,
                Fate::Quarantine,
            ),
            (
                "our own, which came late",
                with(|stray| stray.made_at = stray.made_at.map(|at| at + GRACE * 7)),
                Mode::Remove,
                newest,
                Fate::Remove,
            ),
            ("no rows at all", old, Mode::Remove, empty, Fate::Quarantine),
            ("no rows at all", old, Mode::All, empty, Fate::Remove),
            (
                "of no known age",
                with(|stray| stray.made_at = None),
                Mode::Remove,
                newest,
                Fate::Wait,
            ),
        ] {
            let got = fate(stray, mode, newest, GRACE, now);
            assert_eq!(got, wanted, "{what}, {mode:?}");
        }
    }
}
