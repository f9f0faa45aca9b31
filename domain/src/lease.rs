//! The spans of a lease: who may act alone, for how long, and when a holder that
//! cannot renew it stops by itself.
//!
//! Two clocks: others may take it [`LIFE`] after the last renewal by the database's
//! clock, and its holder stops [`STOP`] after it *asked for* that renewal by its own.
//! What lies between is how far the clocks may run apart and an effect may overrun.

use std::time::Duration;

/// A lease that is not renewed is anybody's after this.
pub const LIFE: Duration = Duration::from_secs(15);
/// How often its holder renews it.
pub const RENEW: Duration = Duration::from_secs(5);
/// How long after it asked for its last renewal a holder begins nothing any more.
pub const STOP: Duration = Duration::from_secs(10);

/// What a holder does next, so long after it asked for its last renewal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// Acts, and renews after this.
    Acts(Duration),
    /// Acts, and asks for the renewal that is due; an answer is worth nothing after this.
    Renews(Duration),
    /// Begins nothing more.
    Stops,
}

/// The rule, as a whole.
pub fn holding(since: Duration) -> Holding {
    if since >= STOP {
        Holding::Stops
    } else if since >= RENEW {
        Holding::Renews(STOP.saturating_sub(since))
    } else {
        Holding::Acts(RENEW.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_renews_every_five_seconds_and_stops_before_others_begin() {
        let seconds = Duration::from_secs;
        for (since, want) in [
            (seconds(0), Holding::Acts(seconds(5))),
            (seconds(4), Holding::Acts(seconds(1))),
            (seconds(5), Holding::Renews(seconds(5))),
            (seconds(9), Holding::Renews(seconds(1))),
            (seconds(10), Holding::Stops),
            (seconds(15), Holding::Stops),
            (seconds(3600), Holding::Stops), // the process was asleep
        ] {
            assert_eq!(holding(since), want, "{since:?}");
        }
        const { assert!(STOP.as_secs() + RENEW.as_secs() <= LIFE.as_secs()) };
    }
}
