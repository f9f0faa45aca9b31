//! Why a worker's machine is down though it should be up, told from what its cloud
//! remembers of it: where its agent said nothing, nobody else knows.
//!
//! Preempted, stopped by hand and deleted by hand ask for different things: the first is
//! started again, the second was somebody's will and is kept until the class is started,
//! the third is made anew and its files are lost.

use chrono::{DateTime, Utc};

/// One thing that happened to a machine, as its cloud remembers it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Happened {
    /// What.
    pub what: What,
    /// When, by the cloud's clock.
    pub at: DateTime<Utc>,
    /// Whether the control plane asked for it.
    pub ours: bool,
}

/// What can happen to a machine, as far as it says why one is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It was made or started.
    Began,
    /// Its cloud wanted the room.
    Preempted,
    /// Somebody asked for its stop.
    Stopped,
    /// Somebody asked for its end.
    Deleted,
    /// Its host failed, its longest run was over, it turned itself off: nobody's will.
    Fell,
}

/// Why a machine is down that the control plane did not ask to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// Its cloud took it.
    Preempted,
    /// Somebody stopped it, at this time.
    StoppedByHand(DateTime<Utc>),
    /// Somebody deleted it with its disk.
    DeletedByHand,
}

/// Why a machine is down, by all that happened to it in any order: the last counts. None
/// if the control plane asked for it, or nobody can say.
pub fn ending(happened: &[Happened]) -> Option<Ending> {
    // Of two at one moment the later in the list.
    let last = happened.iter().max_by_key(|one| one.at)?;
    match (last.what, last.ours) {
        (_, true) | (What::Began | What::Fell, false) => None,
        (What::Preempted, false) => Some(Ending::Preempted),
        (What::Stopped, false) => Some(Ending::StoppedByHand(last.at)),
        (What::Deleted, false) => Some(Ending::DeletedByHand),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_that_happened_says_why() {
        use What::{Began, Deleted, Fell, Preempted, Stopped};
        let at = |seconds: i64| DateTime::from_timestamp(1_800_000_000 + seconds, 0).unwrap();
        let by_hand = |what, when| (what, when, false);
        let own = |what, when| (what, when, true);
        for (story, happened, wanted) in [
            ("nothing is known", vec![], None),
            ("only made", vec![own(Began, 0)], None),
            (
                "taken by its cloud",
                vec![own(Began, 0), by_hand(Preempted, 9)],
                Some(Ending::Preempted),
            ),
            (
                "stopped by an operator",
                vec![by_hand(Stopped, 9), own(Began, 0)],
                Some(Ending::StoppedByHand(at(9))),
            ),
            (
                "stopped by the control plane",
                vec![own(Began, 0), own(Stopped, 9)],
                None,
            ),
            (
                "stopped by the control plane after somebody had stopped it",
                vec![by_hand(Stopped, 8), own(Stopped, 9)],
                None,
            ),
            (
                "deleted by an operator after it was taken",
                vec![by_hand(Preempted, 5), by_hand(Deleted, 9)],
                Some(Ending::DeletedByHand),
            ),
            (
                "made again under its name since",
                vec![by_hand(Deleted, 9), own(Began, 12)],
                None,
            ),
            (
                "started by an operator and then taken",
                vec![
                    by_hand(Stopped, 3),
                    by_hand(Began, 5),
                    by_hand(Preempted, 9),
                ],
                Some(Ending::Preempted),
            ),
            ("its host failed", vec![by_hand(Fell, 9)], None),
        ] {
            let happened: Vec<_> = happened
                .into_iter()
                .map(|(what, when, ours)| Happened {
                    what,
                    at: at(when),
                    ours,
                })
                .collect();
            assert_eq!(ending(&happened), wanted, "{story}");
        }
    }
}
