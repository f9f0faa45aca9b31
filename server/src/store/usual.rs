//! How long a machine usually takes to come: what somebody in a waiting room wants to know.
//!
//! Way: the newest workers that came -> the median of their waits -> a seat's reason. It
//! rides in the words that are there, so every client says it.

use std::time::Duration;

use clarateach_domain::workshop::SeatState;
use sea_orm::{
    ColumnTrait, ConnectionTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    prelude::DateTimeUtc,
};

use super::{
    StoreError,
    entity::{seat, worker},
};

/// What a seat says until its worker answers.
pub const WAITS: &str = "waiting for its worker";

/// Workers whose wait says what is usual: the newest.
const REMEMBERED: u64 = 25;
/// Fewer say nothing.
const ENOUGH: usize = 3;

/// Whether a seat waits for a worker that has not answered.
pub(super) fn waits(seat: &seat::Model) -> bool {
    seat.state.0 == SeatState::Waiting && seat.reason == WAITS
}

/// From a worker's first being wanted to its first answer, as the newest had it.
pub(super) async fn wait(db: &impl ConnectionTrait) -> Result<Option<Duration>, StoreError> {
    let rows: Vec<(DateTimeUtc, Option<DateTimeUtc>)> = worker::Entity::find()
        .select_only()
        .columns([worker::Column::CreatedAt, worker::Column::ReadyAt])
        .filter(worker::Column::ReadyAt.is_not_null())
        .order_by_desc(worker::Column::Id)
        .limit(REMEMBERED)
        .into_tuple()
        .all(db)
        .await?;
    let took = |(wanted, ready): &(DateTimeUtc, Option<DateTimeUtc>)| {
        ready.and_then(|ready| (ready - *wanted).to_std().ok())
    };
    Ok(median(rows.iter().filter_map(took).collect()))
}

/// The reason of a seat that waits, where it is known how long that usually is.
pub(super) fn said(usual: Duration) -> String {
    let seconds = usual.as_secs().max(1);
    let long = if seconds < 100 {
        format!("{seconds} s")
    } else {
        format!("{} min", (seconds + 30) / 60)
    };
    format!("{WAITS}, which usually takes {long}")
}

fn median(mut all: Vec<Duration>) -> Option<Duration> {
    all.sort_unstable();
    (all.len() >= ENOUGH).then(|| all[all.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_the_middle_of_enough() {
        let of = |seconds: &[u64]| {
            let all = seconds.iter().copied().map(Duration::from_secs);
            median(all.collect()).map(said)
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[40, 41]), None);
        for (seconds, wanted) in [
            (&[41, 600, 39][..], "41 s"),
            (&[0, 0, 0], "1 s"),
            (&[99, 99, 99, 99], "99 s"),
            (&[100, 100, 100], "2 min"),
            (&[260, 270, 280], "5 min"),
        ] {
            let wanted = format!("waiting for its worker, which usually takes {wanted}");
            assert_eq!(of(seconds), Some(wanted));
        }
    }
}
