//! The control plane: workshops, seats, workers.
//!
//! Way: `main` -> `config` -> `store`, `serve` (doors in `api`) and the loop
//! that makes the world what the rows say.

pub mod agents;
pub mod api;
pub mod browsers;
pub mod commands;
pub mod config;
pub mod crash;
pub mod gateway;
mod pem_files;
pub mod provisioner;
pub mod reconciler;
pub mod serve;
pub mod store;
mod web;
