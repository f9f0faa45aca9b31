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
    /// It is newer than the newest row: left alone from now on, until a person decides.
    Quarantine,
    /// It goes with all that is on it.
    Remove,
}

/// What becomes of `stray`. `newest` is the time of the newest row that this process found
/// when it began, `None` for an empty database.
pub fn fate(
    stray: Stray,
    mode: Mode,
    newest: Option<DateTime<Utc>>,
    grace: Duration,
    now: DateTime<Utc>,
) -> Fate {
    let newer = match (stray.made_at, newest) {
        (_, None) => true,
        (Some(made), Some(newest)) => made > newest,
        // Nor is it removed: for all that is known it is young.
        (None, Some(_)) => false,
    };
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
        // The database's newest row is an hour old.
        let newest = Some(ago(60));
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
            ("no rows at all", old, Mode::Remove, None, Fate::Quarantine),
            ("no rows at all", old, Mode::All, None, Fate::Remove),
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
