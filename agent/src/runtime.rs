//! What gives a seat its machine: the seam between the fleet and an OCI runtime
//! or Firecracker.
//!
//! Way: the seat's task -> [`Runtime::boot`] -> [`Machine`], and later
//! [`Runtime::halt`]. Everything half-made is undone until `boot` returns; from
//! then on only `halt` ends a machine.

pub(crate) mod burdens;
mod cgroups;
pub mod container;
mod disk;
pub mod firecracker;
pub(crate) mod images;
mod limits;
mod log;
mod machine;
mod sums;
mod throttle;

use std::time::Duration;

use clarateach_domain::{ids::Slot, microvm::MicroVmSpec};

pub use machine::{Machine, ProcessName};

/// What happens to a seat's disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// The learner's files stay.
    Keep,
    /// A new one, or none.
    Discard,
}

/// Two tenants: the container runtime and Firecracker.
#[async_trait::async_trait]
pub trait Runtime: Send + Sync {
    /// Starts the machine and returns when its first process runs; the guest
    /// may be spoken to at once. With [`Disk::Keep`] it starts from the disk
    /// that is there, if there is one.
    async fn boot(&self, spec: &MicroVmSpec, disk: Disk) -> anyhow::Result<Machine>;

    /// Lets the machine out of its slot's port. Called when the guest has taken
    /// its identity, at every boot and adoption; repeats are harmless.
    async fn connect(&self, slot: Slot) -> anyhow::Result<()>;

    /// The machine that an earlier agent left on the slot, if it runs.
    async fn adopt(&self, slot: Slot) -> anyhow::Result<Option<Machine>>;

    /// How long a guest may take until it has taken its identity and answers: a
    /// bound, far from the usual, and longer where guests are slow.
    fn patience(&self) -> Duration;

    /// Whether what carries the machine answers, apart from its guest; an error
    /// says how it is silent. Ends by `within`.
    async fn probe(&self, slot: Slot, within: Duration) -> anyhow::Result<()>;

    /// The slots on which anything at all of a machine is left.
    async fn list(&self) -> anyhow::Result<Vec<Slot>>;

    /// Ends the machine and removes all of it, the disk only if told. Returns
    /// when it is gone; gone already is halted.
    async fn halt(&self, slot: Slot, disk: Disk) -> anyhow::Result<()>;

    /// The end of what the machine logged, at most 64 KiB.
    async fn log(&self, slot: Slot) -> anyhow::Result<String>;
}
