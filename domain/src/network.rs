//! How the walls around a worker's seats stand, as its agent says, and what of it
//! is news.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};

/// The walls of one worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkHealth {
    /// How often something was put right, since the agent started.
    pub repairs: u64,
    /// What was last found changed, for people; empty if nothing was.
    pub drift: String,
    /// When that was.
    pub drift_at: Option<DateTime<Utc>>,
    /// Why it could not be put right; empty if all stands.
    pub fault: String,
}

/// What happened to the walls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkNews {
    /// Something is changed and could not be put right.
    Faulty,
    /// Something was changed and is put right.
    Repaired,
}

impl NetworkNews {
    /// The verb of its event.
    pub fn verb(self) -> &'static str {
        match self {
            Self::Faulty => "network.faulty",
            Self::Repaired => "network.repaired",
        }
    }
}

impl NetworkHealth {
    /// What is kept when an agent says `self` after `before` was kept: a fresh
    /// agent does not know of earlier repairs.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        match self.drift_at {
            Some(_) => self,
            None => Self {
                drift: before.drift.clone(),
                drift_at: before.drift_at,
                ..self
            },
        }
    }

    /// What is new in `self`, kept after `before`. Told once: while a fault
    /// stands its agent tries again and again.
    pub fn news(&self, before: &Self) -> Option<NetworkNews> {
        if !self.fault.is_empty() {
            return (self.fault != before.fault).then_some(NetworkNews::Faulty);
        }
        // Any other time, not only a later one: clocks are set back too.
        let found = self.drift_at.is_some() && self.drift_at != before.drift_at;
        (found || !before.fault.is_empty()).then_some(NetworkNews::Repaired)
    }
}

/// For people; empty if nothing was ever found changed.
impl fmt::Display for NetworkHealth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.fault.is_empty() {
            return write!(f, "could not be put right: {}", self.fault);
        }
        let Some(at) = self.drift_at else {
            return Ok(());
        };
        let at = at.to_rfc3339_opts(SecondsFormat::Secs, true);
        write!(f, "put right at {at}: {}", self.drift)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn health(second: Option<i64>, fault: &str) -> NetworkHealth {
        NetworkHealth {
            repairs: 1,
            drift: second.map_or("", |_| "a rule was gone").into(),
            drift_at: second.map(|s| DateTime::from_timestamp(1_800_000_000 + s, 0).unwrap()),
            fault: fault.into(),
        }
    }

    #[test]
    fn news_is_told_once() {
        use NetworkNews::{Faulty, Repaired};
        let (whole, at) = (health(None, ""), |s| health(Some(s), ""));
        let bad = |s, fault| health(Some(s), fault);
        for (before, said, news) in [
            (&whole, whole.clone(), None),
            (&whole, at(1), Some(Repaired)),
            (&at(1), at(1), None),
            (&at(1), at(2), Some(Repaired)),
            (&at(2), at(1), Some(Repaired)),
            // A fresh agent knows of nothing.
            (&at(1), whole.clone(), None),
            (&whole, bad(1, "no nft"), Some(Faulty)),
            (&bad(1, "no nft"), bad(2, "no nft"), None),
            (&bad(1, "no nft"), bad(2, "no module"), Some(Faulty)),
            (&bad(1, "no nft"), at(1), Some(Repaired)),
            (&bad(1, "no nft"), at(2), Some(Repaired)),
            (&bad(1, "no nft"), whole.clone(), Some(Repaired)),
        ] {
            let kept = said.clone().after(before);
            assert_eq!(kept.news(before), news, "{before:?} {said:?}");
            assert_eq!(kept.news(&kept), None, "{kept:?}");
            assert!(kept.drift_at.is_some() || before.drift_at.is_none());
        }
    }

    #[test]
    fn people_read_what_stands_and_when_it_was_put_right() {
        for (health, words) in [
            (health(None, ""), ""),
            (
                health(Some(0), ""),
                "put right at 2027-01-15T08:00:00Z: a rule was gone",
            ),
            (
                health(Some(0), "nft is missing"),
                "could not be put right: nft is missing",
            ),
        ] {
            assert_eq!(health.to_string(), words);
        }
    }
}
