//! Who is kept off one processor, so that others need not wait for it.
//!
//! Weights share out time, and say nothing of waits: a keystroke needs a tenth of a
//! millisecond, and waits for a whole tick of whoever computes. So a seat that takes
//! more than a fair part for more than a moment is a burden, and burdens are kept to all
//! processors but one until they have been quiet for a while: what the others begin
//! finds that one free.
//!
//! Way: what a seat used since the last look -> [`Burden::after`] -> whether it is one.
//! The burden is a vessel: use fills it, time empties it.

use std::time::Duration;

use crate::limits::Host;

/// A seat may take this part of an even share for ever and is no burden.
const PARTS: u32 = 2;
/// What it may take beyond that at once: a command and its prompt are below it, and a
/// fork bomb is there before anybody notices.
const MOMENT: Duration = Duration::from_millis(20);
/// How long a full vessel needs until it is empty, when nothing comes in.
const CALM: Duration = Duration::from_secs(1);

/// What a seat took of late beyond its part.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Burden {
    level: Duration,
    heavy: bool,
}

impl Burden {
    /// When the seat `used` so much processor time in the last `passed`, as one of so
    /// many `seats` of this worker.
    #[must_use]
    pub fn after(self, used: Duration, passed: Duration, host: Host, seats: u32) -> Self {
        let part = |of: Duration| of.saturating_mul(host.cpus.max(1)) / (PARTS * seats.max(1));
        let filled = self.level.saturating_add(used).saturating_sub(part(passed));
        let level = filled.min(MOMENT + part(CALM));
        let heavy = if self.heavy {
            !level.is_zero()
        } else {
            level > MOMENT
        };
        Self { level, heavy }
    }

    /// Whether it is to be kept off.
    #[must_use]
    pub fn is_heavy(self) -> bool {
        self.heavy
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Duration = Duration::from_millis(50);

    /// Looks from the first until the burden is heavy or not, as was asked; `None` after a
    /// minute of them.
    fn looks(from: Burden, heavy: bool, percent: u32, cpus: u32, seats: u32) -> Option<u32> {
        let host = Host { cpus, pids: 32_768 };
        let mut burden = from;
        (1..=1200).find(|_| {
            burden = burden.after(LOOK * percent / 100, LOOK, host, seats);
            burden.is_heavy() == heavy
        })
    }

    fn full() -> Burden {
        let host = Host {
            cpus: 2,
            pids: 32_768,
        };
        Burden::default().after(Duration::from_mins(1), LOOK, host, 2)
    }

    #[test]
    fn who_takes_more_than_a_part_for_more_than_a_moment_is_a_burden() {
        // Percent of one processor.
        for (percent, cpus, seats, want) in [
            // Two seats on two processors: half of one is nobody's trouble.
            (0, 2, 2, None),
            (50, 2, 2, None),
            (60, 2, 2, Some(5)),
            (100, 2, 2, Some(1)),
            (200, 2, 2, Some(1)),
            // A class of fifty: 8 %.
            (8, 8, 50, None),
            (20, 8, 50, Some(4)),
            (100, 8, 50, Some(1)),
            // Alone, a seat of one vCPU is none on a worker of two.
            (100, 2, 1, None),
            (200, 2, 1, Some(1)),
            // Nothing said counts as one.
            (50, 0, 0, None),
            (100, 0, 0, Some(1)),
        ] {
            let found = looks(Burden::default(), true, percent, cpus, seats);
            assert_eq!(found, want, "{percent} % of {cpus} among {seats}");
        }
    }

    #[test]
    fn who_was_quiet_for_a_while_comes_back_and_not_before() {
        for (percent, want) in [
            (0, Some(21)),
            (10, Some(26)),
            (40, Some(104)),
            // It goes on as it did.
            (50, None),
            (100, None),
        ] {
            assert_eq!(looks(full(), false, percent, 2, 2), want, "{percent} %");
        }
        assert!(full().is_heavy());
    }

    #[test]
    fn a_command_now_and_then_is_no_burden() {
        let host = Host {
            cpus: 2,
            pids: 32_768,
        };
        let mut burden = Burden::default();
        for look in 0..1200 {
            // Fifteen milliseconds of work each second.
            let used = if look % 20 == 0 { 15 } else { 0 };
            burden = burden.after(Duration::from_millis(used), LOOK, host, 50);
            assert!(!burden.is_heavy(), "{look}");
        }
    }
}
