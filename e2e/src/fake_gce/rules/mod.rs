//! What Compute refuses although it is well formed.

pub(crate) mod firewall;
pub(crate) mod instance;
pub(crate) mod scheduling;
