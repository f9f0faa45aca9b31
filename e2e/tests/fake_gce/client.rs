//! Google's own client takes the fake for Google.

use std::time::Duration;

use clarateach_e2e::fake_gce::{Clock, Config, FakeGce, Fault, Kind};
use google_cloud_auth::credentials::anonymous;
use google_cloud_compute_v1::{
    client::{Firewalls, Instances, Regions, Snapshots, ZoneOperations},
    model::{
        AccessConfig, AdvancedMachineFeatures, AttachedDisk, AttachedDiskInitializeParams,
        Duration as ModelDuration, Firewall, Instance, NetworkInterface, Operation, Scheduling,
        access_config, attached_disk, firewall, scheduling,
    },
};
use google_cloud_gax::{
    exponential_backoff::{ExponentialBackoff, ExponentialBackoffBuilder},
    paginator::ItemPaginator as _,
    retry_policy::{Aip194Strict, RetryPolicyExt as _},
};
use google_cloud_lro::Poller as _;

use crate::ZONE;

const PROJECT: &str = "clarateach-test";

fn backoff() -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_delay(Duration::from_millis(20))
        .with_maximum_delay(Duration::from_millis(50))
        .build()
        .unwrap()
}

macro_rules! client {
    ($client:ident, $fake:expr) => {{
        let _first = rustls::crypto::ring::default_provider().install_default();
        $client::builder()
            .with_endpoint($fake.url())
            .with_credentials(anonymous::Builder::new().build())
            .with_retry_policy(Aip194Strict.with_attempt_limit(3))
            .with_backoff_policy(backoff())
            .with_polling_backoff_policy(backoff())
            .build()
            .await
            .unwrap()
    }};
}

fn worker(name: &str) -> Instance {
    let params = AttachedDiskInitializeParams::new()
        .set_source_snapshot("global/snapshots/clara2-snapshot")
        .set_disk_size_gb(50_i64)
        .set_labels([("app", "clarateach")])
        .set_disk_type(format!("zones/{ZONE}/diskTypes/pd-ssd"));
    let disk = AttachedDisk::new()
        .set_boot(true)
        .set_auto_delete(true)
        .set_mode(attached_disk::Mode::ReadWrite)
        .set_initialize_params(params);
    let outside = AccessConfig::new()
        .set_name("External NAT")
        .set_type(access_config::Type::OneToOneNat);
    let interface = NetworkInterface::new()
        .set_network("global/networks/clarateach")
        .set_access_configs([outside]);
    let scheduling = Scheduling::new()
        .set_provisioning_model(scheduling::ProvisioningModel::Spot)
        .set_instance_termination_action(scheduling::InstanceTerminationAction::Stop)
        .set_on_host_maintenance(scheduling::OnHostMaintenance::Terminate)
        .set_max_run_duration(ModelDuration::new().set_seconds(86_400_i64))
        .set_automatic_restart(false);
    Instance::new()
        .set_name(name)
        .set_machine_type(format!("zones/{ZONE}/machineTypes/n2-standard-8"))
        .set_labels([("app", "clarateach"), ("installation", "one")])
        .set_disks([disk])
        .set_network_interfaces([interface])
        .set_scheduling(scheduling)
        .set_advanced_machine_features(
            AdvancedMachineFeatures::new().set_enable_nested_virtualization(true),
        )
}

async fn insert(instances: &Instances, name: &str, id: &str) -> Operation {
    let insert = instances.insert().set_project(PROJECT).set_zone(ZONE);
    let insert = insert.set_request_id(id).set_body(worker(name));
    insert.poller().until_done().await.unwrap()
}

async fn quick() -> FakeGce {
    FakeGce::start(Config {
        clock: Clock::Scaled(200.0),
        ..Config::default()
    })
    .await
}

#[tokio::test]
async fn googles_client_makes_lists_stops_starts_and_deletes() {
    let fake = quick().await;
    let instances = client!(Instances, fake);
    let done = insert(
        &instances,
        "worker-1",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    )
    .await;
    assert!(done.error.is_none());
    assert!(done.id.unwrap() > 1 << 53);
    let again = insert(
        &instances,
        "worker-1",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    )
    .await;
    assert_eq!(again.id, done.id);
    let get = || {
        instances
            .get()
            .set_project(PROJECT)
            .set_zone(ZONE)
            .set_instance("worker-1")
    };
    let nat = |instance: &Instance| {
        instance.network_interfaces[0].access_configs[0]
            .nat_ip
            .clone()
    };
    let first = nat(&get().send().await.unwrap());
    assert!(first.is_some());
    let list = instances.list().set_project(PROJECT).set_zone(ZONE);
    let list = list.set_filter("labels.app=clarateach AND labels.installation=one");
    let mut items = list.by_item();
    let found = items.next().await.unwrap().unwrap();
    assert_eq!(found.name.as_deref(), Some("worker-1"));
    assert!(items.next().await.is_none());
    let stop = instances
        .stop()
        .set_project(PROJECT)
        .set_zone(ZONE)
        .set_instance("worker-1");
    assert!(stop.poller().until_done().await.unwrap().error.is_none());
    let start = instances
        .start()
        .set_project(PROJECT)
        .set_zone(ZONE)
        .set_instance("worker-1");
    assert!(start.poller().until_done().await.unwrap().error.is_none());
    let second = nat(&get().send().await.unwrap());
    assert!(second.is_some() && second != first);
    let all = instances
        .aggregated_list()
        .set_project(PROJECT)
        .send()
        .await
        .unwrap();
    assert_eq!(all.items[&format!("zones/{ZONE}")].instances.len(), 1);
    let delete = instances
        .delete()
        .set_project(PROJECT)
        .set_zone(ZONE)
        .set_instance("worker-1");
    assert!(delete.poller().until_done().await.unwrap().error.is_none());
    let gone = get().send().await.unwrap_err();
    assert_eq!(gone.http_status_code(), Some(404));
    assert!(fake.instances().is_empty() && fake.disks().is_empty());
}

#[tokio::test]
async fn googles_client_sees_faults_as_google_gives_them() {
    let fake = quick().await;
    let instances = client!(Instances, fake);
    let hint = Some(vec!["us-central1-b".to_owned()]);
    fake.fault_next(Kind::InsertInstance, Fault::Stockout(hint));
    let failed = insert(
        &instances,
        "worker-1",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
    )
    .await;
    let error = &failed.error.unwrap().errors[0];
    assert_eq!(
        error.code.as_deref(),
        Some("ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS")
    );
    let info = error.error_details[0].error_info.as_ref().unwrap();
    assert_eq!(info.metadatas["zonesAvailable"], "us-central1-b");
    fake.fault_next(Kind::InsertInstance, Fault::Lost);
    let send = || {
        let insert = instances.insert().set_project(PROJECT).set_zone(ZONE);
        let insert = insert.set_request_id("6ba7b811-9dad-11d1-80b4-00c04fd430c8");
        insert.set_body(worker("worker-2")).send()
    };
    let lost = send().await;
    let found = match lost {
        Ok(operation) => operation,
        Err(error) => {
            assert!(error.http_status_code().is_none(), "{error:?}");
            send().await.unwrap()
        }
    };
    let operations = client!(ZoneOperations, fake);
    let id = found.id.unwrap().to_string();
    let wait = operations
        .wait()
        .set_project(PROJECT)
        .set_zone(ZONE)
        .set_operation(id);
    wait.send().await.unwrap();
    fake.quiet().await;
    assert_eq!(
        fake.instances().len(),
        1,
        "one, though it was asked for twice"
    );
    fake.fault_next(Kind::InsertInstance, Fault::RateLimit);
    let insert = instances.insert().set_project(PROJECT).set_zone(ZONE);
    let refused = insert
        .set_body(worker("worker-3"))
        .send()
        .await
        .unwrap_err();
    assert_eq!(refused.http_status_code(), Some(403));
}

#[tokio::test]
async fn googles_client_reads_regions_snapshots_and_firewalls() {
    let fake = FakeGce::start(Config {
        clock: Clock::Scaled(200.0),
        quotas: [("N2_CPUS".to_owned(), 64.0)].into(),
        ..Config::default()
    })
    .await;
    let region = client!(Regions, fake)
        .get()
        .set_project(PROJECT)
        .set_region("us-central1");
    assert_eq!(region.send().await.unwrap().quotas[0].limit, Some(64.0));
    let snapshots = client!(Snapshots, fake);
    let snapshot = snapshots
        .get()
        .set_project(PROJECT)
        .set_snapshot("clara2-snapshot");
    assert_eq!(snapshot.send().await.unwrap().disk_size_gb, Some(20));
    let firewalls = client!(Firewalls, fake);
    let rule = Firewall::new()
        .set_name("clarateach-agent")
        .set_network("global/networks/clarateach")
        .set_allowed([firewall::Allowed::new()
            .set_ip_protocol("tcp")
            .set_ports(["9090"])])
        .set_direction(firewall::Direction::Ingress);
    let insert = firewalls.insert().set_project(PROJECT).set_body(rule);
    assert!(insert.poller().until_done().await.unwrap().error.is_none());
    let get = firewalls
        .get()
        .set_project(PROJECT)
        .set_firewall("clarateach-agent");
    assert_eq!(get.send().await.unwrap().source_ranges, ["0.0.0.0/0"]);
}
