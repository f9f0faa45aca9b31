//! The seats of this worker: which there are, and one task that owns each.
//!
//! Way: `api` -> [`Fleet`] -> the owner task -> a seat's task -> runtime and
//! network; and back as [`Door`]s and the watched list.

mod handle;

pub use handle::{Cut, Door, EpochReason, Fleet, FleetError, FleetSettings, Notice, SeatLife};

impl Fleet {
    /// Prepares the worker's network, adopts what runs, sweeps what is stale,
    /// then answers.
    ///
    /// Must be called inside the worker's network namespace and a private mount
    /// namespace, as root.
    pub async fn start(_settings: FleetSettings) -> anyhow::Result<Fleet> {
        anyhow::bail!("the fleet is being built")
    }
}
