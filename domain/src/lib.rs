//! The rules of ClaraTeach, and nothing that touches the world.
//!
//! No IO, no clock, no randomness, no async: `now` and random bytes come in as
//! arguments, decisions go out as values. Everything else in the workspace may
//! import this crate; it imports none of ours.

pub mod burden;
pub mod cost;
pub mod egress;
pub mod ending;
pub mod enrolment;
pub mod ids;
pub mod lease;
pub mod limits;
pub mod microvm;
pub mod network;
pub mod plan;
pub mod seat_net;
pub mod seat_token;
pub mod sweep;
pub mod text;
pub mod workshop;
