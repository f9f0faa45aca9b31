//! Stories with real parts: a real server, agents, guests, database and
//! network, as a class would use them.
//!
//! A story takes a [`House`], which starts a control plane on a port of its own
//! with a data directory of its own, and speaks to it as learners and
//! instructors do: gRPC, JSON, WebSocket, WebDAV. One house stands at a time,
//! since a story may compare the host before and after.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "this crate is test code: what cannot go on should stop and say where"
)]

pub mod cable;
pub mod canary;
pub mod counter;
pub mod door;
pub mod fake_gce;
pub mod fake_metadata;
pub mod house;
pub mod http;
pub mod learner;
mod listener;
pub mod micro_vms;
pub mod person;
pub mod plane;
pub mod postgres;
pub mod screen;
pub mod soak;
pub mod terminal;
pub mod traces;
pub mod vms;
pub mod wait;

pub use house::House;
