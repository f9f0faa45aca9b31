//! A worker as Google's VM, there and back: what is asked for, and what is read
//! of what is there. No calls.

use std::net::{IpAddr, SocketAddr};

use chrono::DateTime;
use clarateach_domain::{ids::WorkerName, plan::Ground};
use google_cloud_compute_v1::model::{
    AccessConfig, AdvancedMachineFeatures, AttachedDisk, AttachedDiskInitializeParams, Duration,
    Instance, Metadata, NetworkInterface, Scheduling, ServiceAccount, Tags, access_config,
    instance::Status, metadata, scheduling,
};

use super::settings::{GcpSettings, Source};
use crate::provisioner::{AGENT_PORT, Listed, WorkerSpec};

/// The tag that the firewall rule is for.
pub(super) const TAG: &str = "clarateach-agent";
/// Whose VM it is: value `clarateach`.
pub(super) const APP: &str = "app";
/// Of which installation.
pub(super) const INSTALLATION: &str = "installation";
/// Which worker.
pub(super) const WORKER: &str = "worker";
/// Identity tokens come with any scope; this one lets its holder do nothing.
const SCOPE: &str = "https://www.googleapis.com/auth/userinfo.email";

/// How a VM is to be had this time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    /// As a spot VM.
    pub(super) spot: bool,
    /// With time between notice and end, which not every project may ask for.
    pub(super) notice: bool,
}

/// The VM of a worker in `zone`, on the terms of this round.
pub(super) fn wanted(
    worker: &WorkerSpec,
    settings: &GcpSettings,
    zone: &str,
    terms: Terms,
) -> Instance {
    let params = AttachedDiskInitializeParams::new()
        .set_disk_size_gb(i64::from(settings.disk_gb))
        .set_disk_type(format!("zones/{zone}/diskTypes/pd-balanced"))
        .set_labels(labels(worker, settings));
    let params = match &settings.source {
        Source::Snapshot(name) => params.set_source_snapshot(format!("global/snapshots/{name}")),
        Source::ImageFamily(name) => params.set_source_image(format!(
            "projects/{}/global/images/family/{name}",
            settings.project
        )),
    };
    let disk = AttachedDisk::new()
        .set_boot(true)
        .set_auto_delete(true)
        .set_initialize_params(params);
    let nat = AccessConfig::new()
        .set_name("External NAT")
        .set_type(access_config::Type::OneToOneNat);
    let network = NetworkInterface::new()
        .set_network(format!("global/networks/{}", settings.network))
        .set_access_configs([nat]);
    let account = ServiceAccount::new()
        .set_email(settings.service_account.as_str())
        .set_scopes([SCOPE]);
    Instance::new()
        .set_name(worker.name.as_str())
        .set_machine_type(format!(
            "zones/{zone}/machineTypes/{}",
            settings.machine_type
        ))
        .set_min_cpu_platform(settings.min_cpu_platform.as_str())
        .set_disks([disk])
        .set_network_interfaces([network])
        .set_scheduling(scheduling(settings, terms))
        .set_advanced_machine_features(
            AdvancedMachineFeatures::new().set_enable_nested_virtualization(true),
        )
        .set_service_accounts([account])
        .set_metadata(Metadata::new().set_items(metadata(worker, settings)))
        .set_labels(labels(worker, settings))
        .set_tags(Tags::new().set_items([TAG]))
}

/// Google stops a spot VM when it needs the room, and every VM when its time is
/// over: stopped, and not deleted, so that learners' disks are kept.
fn scheduling(settings: &GcpSettings, terms: Terms) -> Scheduling {
    let seconds = i64::try_from(settings.max_run.as_secs()).unwrap_or(i64::MAX);
    let model = if terms.spot {
        scheduling::ProvisioningModel::Spot
    } else {
        scheduling::ProvisioningModel::Standard
    };
    let notice = settings.preemption_notice.as_secs();
    let notice = i64::try_from(notice).unwrap_or_default();
    let notice =
        (terms.spot && terms.notice && notice > 0).then(|| Duration::new().set_seconds(notice));
    Scheduling::new()
        .set_or_clear_preemption_notice_duration(notice)
        .set_provisioning_model(model)
        .set_instance_termination_action(scheduling::InstanceTerminationAction::Stop)
        .set_on_host_maintenance(scheduling::OnHostMaintenance::Terminate)
        .set_automatic_restart(false)
        .set_max_run_duration(Duration::new().set_seconds(seconds))
}

fn labels(worker: &WorkerSpec, settings: &GcpSettings) -> [(String, String); 4] {
    [
        (APP.to_owned(), "clarateach".to_owned()),
        (INSTALLATION.to_owned(), settings.installation.clone()),
        ("workshop".to_owned(), worker.workshop.to_string()),
        (WORKER.to_owned(), worker.name.to_string()),
    ]
}

/// What the agent on the VM begins with: all of it public.
fn metadata(worker: &WorkerSpec, settings: &GcpSettings) -> Vec<metadata::Items> {
    let item = |key: &str, value: &str| metadata::Items::new().set_key(key).set_value(value);
    let sources = settings.control_sources.iter().map(ToString::to_string);
    let sources = sources.collect::<Vec<_>>().join(",");
    let mut items = vec![
        item("clarateach-worker", worker.name.as_str()),
        item("clarateach-workshop", worker.workshop.as_str()),
        item("clarateach-runtime", worker.runtime.as_str()),
        item("clarateach-ca", &worker.ca_certificate),
        item("clarateach-seat-key", &worker.seat_key),
        item("enable-oslogin", "TRUE"),
        item("block-project-ssh-keys", "TRUE"),
    ];
    // An empty one would look as if nobody were let in.
    items.extend((!sources.is_empty()).then(|| item("clarateach-control-sources", &sources)));
    items
}

/// What state a VM is in.
pub(super) fn ground(instance: &Instance) -> Ground {
    match instance.status.as_ref() {
        Some(Status::Running) if address(instance).is_some() => Ground::Up,
        Some(
            Status::Running
            | Status::Pending
            | Status::Provisioning
            | Status::Staging
            | Status::Repairing,
        ) => Ground::Making,
        Some(Status::Stopping | Status::PendingStop | Status::Suspending) => Ground::Stopping,
        Some(Status::Terminated | Status::Stopped | Status::Suspended) => Ground::Stopped,
        Some(Status::Deprovisioning) => Ground::Ending,
        // One that this version does not know: it will become another.
        Some(_) | None => Ground::Unknown,
    }
}

/// Whether somebody suspended it: Google then resumes it, and does not start it.
pub(super) fn is_suspended(instance: &Instance) -> bool {
    instance.status == Some(Status::Suspended)
}

/// Where its agent answers: the address that Google gave it this time.
pub(super) fn address(instance: &Instance) -> Option<SocketAddr> {
    let interface = instance.network_interfaces.first()?;
    let given = interface.access_configs.first()?.nat_ip.as_deref()?;
    Some(SocketAddr::new(given.parse().ok()?, AGENT_PORT))
}

/// Its address within Google's network.
pub(super) fn inner_address(instance: &Instance) -> Option<IpAddr> {
    let interface = instance.network_interfaces.first()?;
    interface.network_ip.as_deref()?.parse().ok()
}

/// The worker and when it was made, if it is one of this installation.
pub(super) fn listed(instance: &Instance, installation: &str) -> Option<Listed> {
    let made = instance.creation_timestamp.as_deref();
    let made = made.and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    Some(Listed {
        name: worker(instance, installation)?,
        made_at: made.map(|at| at.to_utc()),
    })
}

/// Which worker it is, if it is one of this installation.
pub(super) fn worker(instance: &Instance, installation: &str) -> Option<WorkerName> {
    let labels = &instance.labels;
    let ours = labels.get(APP).is_some_and(|app| app == "clarateach")
        && labels
            .get(INSTALLATION)
            .is_some_and(|of| of == installation);
    ours.then(|| labels.get(WORKER)?.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use clarateach_domain::microvm::Runtime;

    use super::*;
    use crate::provisioner::gcp::settings::tests::settings;

    fn spec() -> WorkerSpec {
        WorkerSpec {
            name: "ws-0123456789-w1".parse().unwrap(),
            workshop: "ws-0123456789".parse().unwrap(),
            runtime: Runtime::Firecracker,
            ca_certificate: "CA".into(),
            seat_key: "KEY".into(),
        }
    }

    #[test]
    fn the_machine_is_spot_nests_ends_by_itself_and_has_no_secret() {
        let settings = GcpSettings {
            control_sources: vec!["203.0.113.0/24".parse().unwrap()],
            ..settings()
        };
        let terms = Terms {
            spot: true,
            notice: true,
        };
        let asked = wanted(&spec(), &settings, "us-central1-a", terms);
        let json = serde_json::to_value(&asked).unwrap();
        for (at, want) in [
            (
                "/machineType",
                "zones/us-central1-a/machineTypes/n2-standard-8",
            ),
            ("/scheduling/provisioningModel", "SPOT"),
            ("/scheduling/instanceTerminationAction", "STOP"),
            ("/scheduling/onHostMaintenance", "TERMINATE"),
            ("/scheduling/maxRunDuration/seconds", "88200"),
            ("/scheduling/preemptionNoticeDuration/seconds", "120"),
            (
                "/disks/0/initializeParams/sourceSnapshot",
                "global/snapshots/clara2-snapshot",
            ),
            (
                "/networkInterfaces/0/accessConfigs/0/type",
                "ONE_TO_ONE_NAT",
            ),
            ("/labels/app", "clarateach"),
            ("/labels/worker", "ws-0123456789-w1"),
            ("/tags/items/0", TAG),
        ] {
            assert_eq!(
                json.pointer(at).and_then(serde_json::Value::as_str),
                Some(want),
                "{at}"
            );
        }
        for (at, want) in [
            ("/scheduling/automaticRestart", false),
            ("/advancedMachineFeatures/enableNestedVirtualization", true),
            ("/disks/0/autoDelete", true),
        ] {
            assert_eq!(
                json.pointer(at).and_then(serde_json::Value::as_bool),
                Some(want),
                "{at}"
            );
        }
        let keys: Vec<_> = asked.metadata.unwrap().items;
        let sources = keys
            .iter()
            .find(|item| item.key.as_deref() == Some("clarateach-control-sources"));
        assert_eq!(sources.unwrap().value.as_deref(), Some("203.0.113.0/24"));
        let keys: Vec<_> = keys.iter().filter_map(|item| item.key.as_deref()).collect();
        assert!(
            !keys
                .iter()
                .any(|key| key.contains("token") || key.contains("secret"))
        );
        let anybody = wanted(&spec(), &self::settings(), "us-central1-a", terms);
        let items = anybody.metadata.unwrap().items;
        let mut keys = items.iter().filter_map(|item| item.key.as_deref());
        assert!(!keys.any(|key| key == "clarateach-control-sources"));
    }

    #[test]
    fn time_between_notice_and_end_is_asked_for_where_it_can_be_had() {
        let none = GcpSettings {
            preemption_notice: std::time::Duration::ZERO,
            ..settings()
        };
        for (settings, spot, notice, asked) in [
            (settings(), true, true, true),
            (settings(), true, false, false),
            // Google takes no VM that is paid in full.
            (settings(), false, true, false),
            (none, true, true, false),
        ] {
            let scheduling = scheduling(&settings, Terms { spot, notice });
            let has = scheduling.preemption_notice_duration.is_some();
            assert_eq!(has, asked, "spot {spot}, notice {notice}");
        }
    }

    #[test]
    fn every_state_of_a_vm_is_known_or_waited_out() {
        let nat = |ip: &str| {
            NetworkInterface::new().set_access_configs([AccessConfig::new().set_nat_ip(ip)])
        };
        for (status, ip, want) in [
            (Status::Provisioning, None, Ground::Making),
            (Status::Running, None, Ground::Making),
            (Status::Running, Some("198.51.100.7"), Ground::Up),
            (Status::Stopping, Some("198.51.100.7"), Ground::Stopping),
            (Status::Terminated, None, Ground::Stopped),
            (Status::Deprovisioning, None, Ground::Ending),
        ] {
            let vm = Instance::new()
                .set_status(status.clone())
                .set_network_interfaces(ip.map(nat));
            assert_eq!(ground(&vm), want, "{status:?}");
        }
        assert_eq!(ground(&Instance::new()), Ground::Unknown);
    }
}
