//! Runs on every worker: boots MicroVMs and carries learners to them.
//!
//! Way: the control plane -> `api` -> [`fleet`] -> [`runtime`] and [`network`]
//! -> a guest; a learner -> `proxy` -> [`fleet::Fleet::door`] -> that guest.

pub mod fleet;
