//! A workshop as it is wanted and where it is in its life.

use serde::{Deserialize, Serialize};

/// What the owner wants of a workshop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// Running.
    Present,
    /// Stopped, with everything kept.
    Stopped,
    /// Gone.
    Absent,
}

/// Where a workshop is in its life, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Workers or seats are still being made.
    Provisioning,
    /// Every seat answers.
    Running,
    /// Some seats are down, or the worker is being recovered.
    Degraded,
    /// Being stopped.
    Stopping,
    /// Stopped.
    Stopped,
    /// Being removed.
    Deleting,
    /// Gone.
    Deleted,
    /// It could not be made.
    Failed,
}
