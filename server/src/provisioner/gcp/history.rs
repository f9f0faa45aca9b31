//! What Google remembers of a VM, in the words of `domain/src/ending.rs`.
//!
//! Sources: Google's samples of the history of preempted VMs name
//! `compute.instances.preempted`; its page on system events says that whatever Google does
//! to a VM by itself is an operation of a type that begins with `compute.instances.`; what
//! a person asks for has the method's name as its type.

use chrono::DateTime;
use clarateach_domain::ending::{Happened, What};
use google_cloud_compute_v1::model::Operation;

const PREEMPTED: &str = "compute.instances.preempted";
/// What Google or the machine itself did.
const SYSTEM: &str = "compute.instances.";
/// System events after which a VM runs on, or runs again.
const HARMLESS: [&str; 3] = [
    "compute.instances.automaticRestart",
    "compute.instances.migrateOnHostMaintenance",
    "compute.instances.simulateMaintenanceEvent",
];

/// What an operation of this type does to the VM that it is for, as far as that says
/// whether one runs.
fn what(kind: &str) -> Option<What> {
    match kind {
        PREEMPTED => Some(What::Preempted),
        "insert" | "start" | "resume" | "startWithEncryptionKey" => Some(What::Began),
        "stop" | "suspend" => Some(What::Stopped),
        "delete" => Some(What::Deleted),
        other if HARMLESS.contains(&other) => None,
        other => other.starts_with(SYSTEM).then_some(What::Fell),
    }
}

/// What happened to the VM of this `id`, or to any of its name if there is none: `ours` are
/// the requests of the control plane to stop or delete it. What failed did not happen.
pub(super) fn happened(
    operations: &[Operation],
    ours: &[String],
    id: Option<u64>,
) -> Vec<Happened> {
    let its = |operation: &&Operation| id.is_none_or(|id| operation.target_id == Some(id));
    let well = |operation: &&Operation| operation.error.is_none();
    let happened = operations.iter().filter(its).filter(well);
    happened
        .filter_map(|operation| {
            let at = operation.insert_time.as_deref()?;
            let request = operation.client_operation_id.as_ref();
            Some(Happened {
                what: what(operation.operation_type.as_deref()?)?,
                at: DateTime::parse_from_rfc3339(at).ok()?.to_utc(),
                ours: request.is_some_and(|request| ours.contains(request)),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use google_cloud_compute_v1::model::operation;

    use super::*;

    #[test]
    fn types_of_operations_say_what_happened() {
        for (kind, wanted) in [
            ("compute.instances.preempted", Some(What::Preempted)),
            ("compute.instances.guestTerminate", Some(What::Fell)),
            ("compute.instances.hostError", Some(What::Fell)),
            ("compute.instances.automaticRestart", None),
            ("insert", Some(What::Began)),
            ("start", Some(What::Began)),
            ("stop", Some(What::Stopped)),
            ("suspend", Some(What::Stopped)),
            ("delete", Some(What::Deleted)),
            ("setLabels", None),
        ] {
            assert_eq!(what(kind), wanted, "{kind}");
        }
    }

    #[test]
    fn what_failed_and_what_was_another_vm_do_not_count() {
        let ours = vec!["r1".to_owned()];
        let one = |kind: &str, id: u64, request: &str| {
            Operation::new()
                .set_operation_type(kind)
                .set_target_id(id)
                .set_client_operation_id(request)
                .set_insert_time("2026-11-28T10:00:00.000-08:00")
        };
        let all = [
            one("stop", 7, "r1"),
            one("stop", 7, ""),
            one("delete", 6, "").set_status(operation::Status::Done),
            one("start", 7, "").set_error(operation::Error::new()),
        ];
        let of = |id| {
            let seen = happened(&all, &ours, id);
            let words = seen.iter().map(|one| (one.what, one.ours));
            words.collect::<Vec<_>>()
        };
        let (own, hand) = ((What::Stopped, true), (What::Stopped, false));
        assert_eq!(of(Some(7)), [own, hand]);
        assert_eq!(of(None), [own, hand, (What::Deleted, false)]);
    }
}
