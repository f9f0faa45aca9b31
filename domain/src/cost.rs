//! What workers cost.
//!
//! Only the time that workers run is reckoned, at one price an hour that whoever runs the
//! installation names: a cloud's prices change and differ by place.

use std::{num::NonZeroU32, time::Duration};

/// What one worker costs an hour, in millionths of a US dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HourlyPrice(u64);

impl HourlyPrice {
    /// Of machines that are there anyway.
    pub const NOTHING: Self = Self(0);

    /// From dollars and at most six decimals, such as `0.24`; up to 1000.
    pub fn parse(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no price: write dollars an hour, such as 0.24");
        let (dollars, parts) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if dollars.is_empty() || !digits(dollars) || !digits(parts) || parts.len() > 6 {
            return Err(bad());
        }
        let dollars: u64 = dollars.parse().map_err(|_| bad())?;
        let parts: u64 = format!("{parts:0<6}").parse().map_err(|_| bad())?;
        if dollars > 1000 {
            return Err(bad());
        }
        Ok(Self(dollars * 1_000_000 + parts))
    }

    /// What `workers` cost for `life`, in millionths of a US dollar, rounded up.
    pub fn of(self, workers: u32, life: Duration) -> u64 {
        self.of_seconds(u128::from(workers) * u128::from(life.as_secs()))
    }

    /// What one worker costs that ran so long; or more of them, all together. A second
    /// that began counts.
    pub fn of_time(self, ran: Duration) -> u64 {
        self.of_seconds(ran.as_millis().div_ceil(1000))
    }

    fn of_seconds(self, seconds: u128) -> u64 {
        let cost = (seconds * u128::from(self.0)).div_ceil(3600);
        u64::try_from(cost).unwrap_or(u64::MAX)
    }
}

/// Workers that so many seats take.
pub fn workers(seats: u32, seats_per_worker: NonZeroU32) -> u32 {
    seats.div_ceil(seats_per_worker.get())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_has_one_form() {
        for (text, wanted) in [
            ("0", Some(0)),
            ("0.24", Some(240_000)),
            ("1.000001", Some(1_000_001)),
            ("1000", Some(1_000_000_000)),
            ("1.", Some(1_000_000)),
            ("", None),
            (".5", None),
            ("-1", None),
            ("1e3", None),
            ("0.0000001", None),
            ("1001", None),
            ("99999999999999999999", None),
        ] {
            let got = HourlyPrice::parse(text).ok();
            assert_eq!(got, wanted.map(HourlyPrice), "{text:?}");
        }
    }

    #[test]
    fn time_and_workers_are_what_costs() {
        let price = HourlyPrice::parse("0.24").unwrap();
        for (workers, minutes, wanted) in [
            (1, 60, 240_000),
            (2, 240, 1_920_000),
            (0, 60, 0),
            (1, 1, 4_000),
            (u32::MAX, 60 * 24 * 365, 9_029_739_241_008_000_000),
        ] {
            let got = price.of(workers, Duration::from_mins(minutes));
            assert_eq!(got, wanted, "{workers} for {minutes} minutes");
        }
        assert_eq!(HourlyPrice::NOTHING.of(9, Duration::from_hours(9)), 0);
        assert_eq!(price.of(1, Duration::from_secs(1)), 67, "rounded up");
        assert_eq!(price.of_time(Duration::from_mins(90)), 360_000);
        assert_eq!(price.of_time(Duration::from_millis(1)), 67);
        let carries = NonZeroU32::new(50).unwrap();
        assert_eq!([1, 50, 51, 500].map(|n| workers(n, carries)), [1, 1, 2, 10]);
    }
}
