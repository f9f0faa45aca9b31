//! What the benchmarks share: a class to measure, a peer beside it, and a way
//! to print figures.
//!
//! Way: [`Stand`] (a House with a class) and [`Nginx`] (the peer before the same
//! guests) -> a program in `bin/` takes turns between them -> [`Report`] prints
//! medians, spread and the ratio. Nothing here ever fails because something was
//! slow: a figure is for people to read.

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures for people"
)]

pub mod bare;
pub mod bare_vmm;
pub mod figures;
pub mod nginx;
pub mod process;
pub mod report;
pub mod stand;
pub mod typing;
pub mod vmm;
pub mod way;

pub use figures::Spread;
pub use nginx::Nginx;
pub use report::{Report, Row};
pub use stand::Stand;
pub use way::{Route, Way};
