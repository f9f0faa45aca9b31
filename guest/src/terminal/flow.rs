//! How far a shell may run ahead of the one who drives it.
//!
//! Pure. A driver who says what it has drawn gets a shell that waits for it,
//! so that Ctrl-C under `yes` is felt at once; a driver who says nothing, or
//! no longer, never stalls a shell.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::history;

/// Acks older than this say nothing any more.
pub(crate) const FRESH: Duration = Duration::from_secs(5);
/// The window is what was acked in this time.
const MEASURED: Duration = Duration::from_millis(250);
/// Never less, or a slow start would never speed up. Whoever acks does so at least every
/// half of it, or a shell that waits would wait for good.
pub(crate) const LEAST: u64 = 256 * 1024;
/// Never more than is kept, less what one burst adds: whatever the driver has not drawn when
/// its line is cut can be told again. And Ctrl-C is felt soon.
pub(crate) const MOST: u64 = (history::LIMIT - 2 * super::session::BURST) as u64;
/// Measurements kept; closer acks are folded into one.
const STEPS: usize = 16;

/// What one viewer has acknowledged.
#[derive(Default)]
pub(crate) struct Acks {
    highest: u64,
    last: Option<Instant>,
    recent: VecDeque<(Instant, u64)>,
    /// Whether the shell waits: then until half the window is free, for a shell that is woken
    /// for every ack costs a flood a tenth of its speed.
    closed: bool,
}

/// Whether the shell's output may be read now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gate {
    /// Read on.
    Open,
    /// Not before this time, unless an ack comes.
    ClosedUntil(Instant),
}

impl Acks {
    /// The viewer drew up to `offset`. One beyond `sent` is a lie or a fault
    /// and counts as `sent`; going back changes nothing but the time.
    pub(crate) fn ack(&mut self, offset: u64, sent: u64, now: Instant) {
        let offset = offset.min(sent);
        self.last = Some(now);
        if offset <= self.highest {
            return;
        }
        let step = MEASURED / u32::try_from(STEPS).unwrap_or(1);
        let more = offset - self.highest;
        self.highest = offset;
        match self.recent.back_mut() {
            Some((at, amount)) if now.duration_since(*at) < step => *amount += more,
            _ => self.recent.push_back((now, more)),
        }
        self.forget(now);
    }

    /// The viewer was given a painting of the screen at `offset`.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        self.highest = self.highest.max(offset);
    }

    /// Whether it acks at all, and lately.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        self.last
            .is_some_and(|last| now.duration_since(last) < FRESH)
    }

    /// May the shell, `head` bytes far, go on?
    pub(crate) fn gate(&mut self, head: u64, now: Instant) -> Gate {
        let Some(last) = self.last.filter(|_| self.is_fresh(now)) else {
            return Gate::Open;
        };
        let undrawn = head.saturating_sub(self.highest);
        let window = self.window(now);
        let bound = if self.closed { window / 2 } else { window };
        self.closed = undrawn > bound;
        if !self.closed {
            return Gate::Open;
        }
        Gate::ClosedUntil(last + FRESH)
    }

    fn window(&mut self, now: Instant) -> u64 {
        self.forget(now);
        let acked: u64 = self.recent.iter().map(|(_, amount)| amount).sum();
        acked.clamp(LEAST, MOST)
    }

    fn forget(&mut self, now: Instant) {
        while let Some((at, _)) = self.recent.front() {
            if now.duration_since(*at) <= MEASURED && self.recent.len() <= STEPS + 1 {
                break;
            }
            self.recent.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const K: u64 = 1024;

    #[test]
    fn a_shell_waits_only_for_a_driver_who_acks_and_is_behind() {
        // acks: (milliseconds, offset); asked at: milliseconds, head
        type Case = (&'static str, &'static [(u64, u64)], u64, u64, bool);
        let cases: [Case; 9] = [
            ("who never acks never stalls", &[], 0, 100 * MOST, true),
            ("within the least window", &[(0, 0)], 1, LEAST, true),
            ("beyond the least window", &[(0, 0)], 1, LEAST + 1, false),
            (
                "a fast one earns more",
                &[(0, 0), (100, 800 * K)],
                101,
                1600 * K,
                true,
            ),
            (
                "but not more than it earned",
                &[(0, 0), (100, 800 * K)],
                101,
                1601 * K,
                false,
            ),
            (
                "and loses it in time",
                &[(0, 0), (100, 800 * K)],
                400,
                1600 * K,
                false,
            ),
            (
                "never more than the most",
                &[(0, 0), (100, 8 * MOST)],
                101,
                9 * MOST + 1,
                false,
            ),
            (
                "an old ack holds nothing",
                &[(0, 0)],
                5000,
                100 * MOST,
                true,
            ),
            (
                "going back is no progress",
                &[(0, 500 * K), (10, 0)],
                11,
                700 * K,
                true,
            ),
        ];
        for (what, acks, at, head, open) in cases {
            let start = Instant::now();
            let time = |millis| start + Duration::from_millis(millis);
            let mut state = Acks::default();
            for (millis, offset) in acks {
                state.ack(*offset, u64::MAX, time(*millis));
            }
            let gate = state.gate(head, time(at));
            assert_eq!(gate == Gate::Open, open, "{what}: {gate:?}");
            if !open {
                let last = acks.last().unwrap().0;
                assert_eq!(gate, Gate::ClosedUntil(time(last) + FRESH), "{what}");
            }
        }
    }

    #[test]
    fn a_shell_that_waits_goes_on_when_half_the_window_is_free() {
        let now = Instant::now();
        let mut acks = Acks::default();
        acks.ack(0, u64::MAX, now);
        // head, acked -> open
        for (head, acked, open) in [
            (LEAST, 0, true),
            (LEAST + 1, 0, false),
            (LEAST, 0, false),
            (LEAST + 1, LEAST / 2, false),
            (LEAST + 1, LEAST / 2 + 1, true),
            (LEAST / 2 + 1 + LEAST, LEAST / 2 + 1, true),
        ] {
            acks.ack(acked, u64::MAX, now);
            let gate = acks.gate(head, now);
            assert_eq!(gate == Gate::Open, open, "{head} {acked}: {gate:?}");
        }
    }

    #[test]
    fn an_ack_of_what_was_never_sent_buys_nothing() {
        let now = Instant::now();
        let mut acks = Acks::default();
        acks.ack(u64::MAX, 1000, now);
        assert_ne!(acks.gate(1000 + LEAST + 1, now), Gate::Open);
    }

    #[test]
    fn a_storm_of_acks_holds_little() {
        let start = Instant::now();
        let mut acks = Acks::default();
        for n in 0..100_000_u64 {
            acks.ack(n, u64::MAX, start + Duration::from_micros(n));
        }
        assert!(acks.recent.len() <= STEPS + 2);
    }
}
