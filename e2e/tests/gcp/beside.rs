//! What costs beside VMs: disks that none has and addresses that nobody uses.

use clarateach_domain::plan::Ground;
use clarateach_e2e::fake_gce::{Fault, Kind};
use clarateach_server::provisioner::Provisioner as _;

use crate::{Stage, worker};

const OWN: [(&str, &str); 2] = [("app", "clarateach"), ("installation", "one")];

#[tokio::test]
async fn what_is_left_beside_vms_is_found_with_its_label_and_removed_for_good() {
    let stage = Stage::new().await;
    let worker = worker(1);
    stage.gcp.ensure(&worker).await.unwrap();
    stage.until(&worker, Ground::Up).await;
    let of = |name: &'static str| [OWN[0], OWN[1], ("worker", name)];
    let (fake, zone, region) = (&stage.fake, "us-central1-b", "us-central1");
    fake.plant_disk(zone, "left", &of("ws-9876543210-w2"));
    fake.plant_disk(zone, "unnamed", &OWN);
    fake.plant_disk(
        zone,
        "of-others",
        &[("app", "clarateach"), ("installation", "two")],
    );
    fake.plant_disk("us-east1-b", "of-nobody", &[]);
    fake.plant_address(region, "reserved", [203, 0, 113, 250].into(), &OWN);
    fake.plant_address(region, "a-strangers", [203, 0, 113, 251].into(), &[]);

    let found = stage.gcp.remainders().await.unwrap();
    let mut said: Vec<_> = found.iter().map(ToString::to_string).collect();
    said.sort();
    // Not its own VM's: that goes with it.
    let wanted = [
        "address us-central1/reserved",
        "disk us-central1-b/left",
        "disk us-central1-b/unnamed",
    ];
    assert_eq!(said, wanted);
    assert!(found.iter().all(|one| one.made_at.is_some()));
    let named = found.iter().find(|one| one.name == "left").unwrap();
    assert_eq!(named.worker.as_ref().unwrap().as_str(), "ws-9876543210-w2");

    for one in &found {
        stage.gcp.clear(one).await.unwrap();
        fake.quiet().await;
        stage.gcp.clear(one).await.unwrap();
    }
    assert!(stage.gcp.remainders().await.unwrap().is_empty());
    let mut left: Vec<_> = fake.disks().into_iter().map(|(_, name)| name).collect();
    left.sort();
    assert_eq!(left, ["of-nobody", "of-others", worker.name.as_str()]);
}

#[tokio::test]
async fn what_came_later_under_the_name_of_a_remainder_stays() {
    let stage = Stage::new().await;
    let fake = &stage.fake;
    fake.plant_disk("us-central1-b", "left", &OWN);
    let found = stage.gcp.remainders().await.unwrap();
    stage.gcp.clear(&found[0]).await.unwrap();
    fake.quiet().await;
    fake.plant_disk("us-central1-b", "left", &OWN);
    stage.gcp.clear(&found[0]).await.unwrap();
    fake.quiet().await;
    assert_eq!(fake.disks().len(), 1);
}

#[tokio::test]
async fn half_a_list_of_disks_or_addresses_is_no_list() {
    for (kind, part) in [
        (Kind::AggregatedDisks, "zones/us-central1-a"),
        (Kind::AggregatedAddresses, "regions/us-central1"),
    ] {
        let stage = Stage::new().await;
        let fault = Fault::Partial(part.rsplit('/').next().unwrap().to_owned());
        stage.fake.fault_next(kind, fault);
        let refused = stage.gcp.remainders().await;
        assert!(refused.is_err(), "{part}: {refused:?}");
        assert!(stage.gcp.remainders().await.unwrap().is_empty());
    }
}
