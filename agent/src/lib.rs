//! Runs on every worker: boots MicroVMs and carries learners to them.
//!
//! Way: the control plane -> `api` -> [`fleet`] -> [`runtime`] and [`network`]
//! -> a guest; a learner -> `proxy` -> [`fleet::Fleet::door`] -> that guest.

mod agent;
mod api;
mod check;
mod config;
pub mod control;
mod enrol;
mod files;
pub mod fleet;
mod metadata;
pub mod network;
mod proxy;
mod resolver;
pub mod rundir;
pub mod runtime;
mod serve;
mod sys;
#[cfg(test)]
mod testing;
mod tls;
mod vm;

pub use agent::main;
