//! Whatever becomes of one of two control planes, whenever, the other goes on with what it
//! was at, and nothing is done twice. `scripts/soak.sh planes` tells many more.

use std::time::Duration;

use crate::{
    missing,
    schedule::{Mishap, Schedule, While},
    stage::Stage,
};

/// Told in every run: each mishap to the one that was asked, when it has just written that
/// it makes the worker.
const EACH: [Mishap; 3] = [Mishap::Kill, Mishap::Pause, Mishap::Silence];

#[tokio::test(flavor = "multi_thread")]
async fn the_other_takes_over_and_nothing_is_done_twice() {
    if missing() {
        return;
    }
    let mut stage = Stage::new().await;
    for mishap in EACH {
        let schedule = Schedule {
            mishap,
            during: While::Creating,
            after: 2,
            whom: 0,
            asked: 0,
            seats: 1,
        };
        let took = schedule.tell(&mut stage).await;
        println!("{mishap:?}: running {took:.1?} later");
    }
    stage.close();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "scripts/soak.sh planes"]
async fn a_storm_of_schedules() {
    if missing() {
        return;
    }
    let (cycles, seed) = settings();
    let mut stage = Stage::new().await;
    let mut longest = Duration::ZERO;
    for cycle in 0..cycles {
        let seed = seed.wrapping_add(cycle);
        let schedule = Schedule::of(seed);
        println!("cycle {cycle}, seed {seed}: {schedule:?}");
        let took = schedule.tell(&mut stage).await;
        longest = longest.max(took);
        println!("cycle {cycle}: the other had it {took:.1?} later; longest {longest:.1?}");
    }
    stage.close();
}

/// How many, and the first one's seed: as `scripts/soak.sh` says.
#[allow(
    clippy::disallowed_methods,
    reason = "tests have no config.rs: these are its settings"
)]
fn settings() -> (u64, u64) {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    let cycles = number("CLARATEACH_SOAK_CYCLES").unwrap_or(5);
    (cycles, number("CLARATEACH_SOAK_SEED").unwrap_or(1))
}
