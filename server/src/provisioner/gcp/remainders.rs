//! What of this installation costs beside its VMs: disks that no VM has and addresses that
//! nobody uses. Our VMs take theirs along when they go; these are of VMs that somebody
//! removed and kept the disk of, or of a hand that made them.

use std::collections::HashMap;

use chrono::DateTime;
use clarateach_domain::ids::WorkerName;
use google_cloud_compute_v1::model::{Address, Disk};

use super::machine::WORKER;
use crate::provisioner::Remainder;

pub(super) const DISK: &str = "disk";
pub(super) const ADDRESS: &str = "address";

/// The disk as something left over; none if a VM has it.
pub(super) fn of_disk(disk: Disk) -> Option<Remainder> {
    let free = disk.users.is_empty();
    let made = (disk.id?, disk.creation_timestamp);
    free.then(|| of(DISK, (disk.zone, disk.name), made, &disk.labels))
}

/// The same of an address.
pub(super) fn of_address(address: Address) -> Option<Remainder> {
    let free = address.users.is_empty();
    let made = (address.id?, address.creation_timestamp);
    free.then(|| {
        let at = (address.region, address.name);
        of(ADDRESS, at, made, &address.labels)
    })
}

fn of(
    what: &'static str,
    (place, name): (Option<String>, Option<String>),
    (id, made): (u64, Option<String>),
    labels: &HashMap<String, String>,
) -> Remainder {
    let place = place.unwrap_or_default();
    let made = made.and_then(|text| DateTime::parse_from_rfc3339(&text).ok());
    let worker: Option<WorkerName> = labels.get(WORKER).and_then(|name| name.parse().ok());
    Remainder {
        what,
        place: place.rsplit('/').next().unwrap_or_default().to_owned(),
        name: name.unwrap_or_default(),
        id,
        worker,
        made_at: made.map(|at| at.to_utc()),
    }
}
