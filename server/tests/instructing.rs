//! Instructors and admins at the doors: what may be asked, by whom, and how it
//! is refused.
#![allow(
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that cannot go on should stop"
)]

#[path = "instructing/doors.rs"]
mod doors;
#[path = "instructing/rights.rs"]
mod rights;
#[path = "instructing/seats.rs"]
mod seats;
mod town;
#[path = "instructing/watching.rs"]
mod watching;
#[path = "instructing/wishes.rs"]
mod wishes;
