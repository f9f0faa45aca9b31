//! Virtual time: real time made faster, or moved by hand.

use std::{
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

use chrono::{DateTime, FixedOffset, Utc};

/// How virtual time goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Clock {
    /// So many virtual seconds in a real one.
    Scaled(f64),
    /// Only by [`super::FakeGce::advance`].
    Manual,
}

/// Virtual time since the fake began.
#[derive(Debug)]
pub(crate) struct Time {
    clock: Clock,
    began: Instant,
    epoch: SystemTime,
    by_hand: Mutex<Duration>,
}

impl Time {
    pub(crate) fn begin(clock: Clock) -> Self {
        Self {
            clock,
            began: Instant::now(),
            epoch: SystemTime::now(),
            by_hand: Mutex::default(),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        match self.clock {
            Clock::Scaled(factor) => self.began.elapsed().mul_f64(factor),
            Clock::Manual => *self.by_hand.lock().unwrap(),
        }
    }

    /// Moves on by hand to this moment, never back.
    pub(crate) fn reach(&self, moment: Duration) {
        assert_eq!(self.clock, Clock::Manual, "this clock goes by itself");
        let mut now = self.by_hand.lock().unwrap();
        *now = moment.max(*now);
    }

    /// How long in real time until `moment`, if this clock goes by itself.
    pub(crate) fn real_until(&self, moment: Duration) -> Option<Duration> {
        match self.clock {
            Clock::Scaled(factor) => {
                Some(moment.saturating_sub(self.now()).div_f64(factor) + Duration::from_millis(1))
            }
            Clock::Manual => None,
        }
    }

    pub(crate) fn epoch(&self) -> SystemTime {
        self.epoch
    }
}

/// As Google writes a time: RFC 3339 with milliseconds, in its own time zone.
pub(crate) fn stamp(epoch: SystemTime, at: Duration) -> String {
    let pacific = FixedOffset::west_opt(8 * 3600).unwrap();
    let time: DateTime<Utc> = (epoch + at).into();
    let time = time.with_timezone(&pacific);
    time.format("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
}
