//! What a seat may take of this worker.

use std::{fs, io, thread};

use clarateach_domain::{
    ids::Slot,
    limits::{Host, Limits},
    microvm::MicroVmSpec,
};
use tracing::warn;

use crate::network::Network;

/// Of the seat, now: the worker may have other processors than at its last boot.
pub(super) fn of(spec: &MicroVmSpec) -> Limits {
    let vcpus = spec.resources.vcpus;
    Limits::of(here(), spec.seats_on_worker, vcpus, spec.limits)
}

/// This worker. What it will not tell counts as the smallest there is.
pub(super) fn here() -> Host {
    let cpus = thread::available_parallelism().map_or(1, usize::from);
    let pids = fs::read_to_string("/proc/sys/kernel/pid_max").unwrap_or_default();
    Host {
        cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
        pids: pids.trim().parse().unwrap_or(32_768),
    }
}

/// Limits the port of an adopted machine, by whatever release it was made. One that
/// cannot be limited is a seat all the same. Blocks.
pub(super) fn take_over(network: &Network, slot: Slot, spec: io::Result<Option<MicroVmSpec>>) {
    // Whose spec cannot be read is never adopted.
    let Ok(Some(spec)) = spec else { return };
    if let Err(error) = network.take_over(slot, of(&spec).network_mbits) {
        let error = format!("{:#}", anyhow::Error::from(error));
        warn!(%slot, error, "port of an adopted seat could not be limited");
    }
}
