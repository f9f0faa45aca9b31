//! A class on PostgreSQL, and two control planes over one database.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

mod cloud;
mod schedule;
mod stage;
mod storms;
mod together;

/// Stops a story that cannot be told here, and says so.
fn missing() -> bool {
    let why = clarateach_e2e::house::missing().or_else(clarateach_e2e::postgres::missing);
    if let Some(why) = &why {
        println!("SKIPPED: planes: {why}");
    }
    why.is_some()
}
