//! Waiting for a state of the world, within a bound, never for a time.

use std::{
    fmt::Debug,
    time::{Duration, Instant},
};

/// Asks `look` until it answers, at most for `limit`; then stops the test with
/// `what` and the last thing seen.
pub async fn until<T, S: Debug>(
    what: &str,
    limit: Duration,
    mut look: impl AsyncFnMut() -> Result<T, S>,
) -> T {
    let began = Instant::now();
    loop {
        match look().await {
            Ok(value) => return value,
            Err(seen) if began.elapsed() > limit => {
                panic!("{what}: not within {limit:?}; last seen: {seen:?}")
            }
            Err(_) => tick().await,
        }
    }
}

/// The pause between two looks.
#[allow(
    clippy::disallowed_methods,
    reason = "the one place that sleeps: between two looks at a state"
)]
pub async fn tick() {
    tokio::time::sleep(Duration::from_millis(50)).await;
}
