//! The command line against a live server: an instructor from `login` to
//! `collect`, a learner's files there and back, and what is said of faults.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

mod attached;
mod collect;
mod exec;
mod files;
mod instructor;
