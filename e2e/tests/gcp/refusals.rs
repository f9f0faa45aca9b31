//! No room here, no quota, no right: what happens next, and what people read.

use clarateach_domain::plan::Ground;
use clarateach_e2e::fake_gce::{Config, Fault, Kind};
use clarateach_server::provisioner::Provisioner as _;

use crate::{Stage, worker};

#[tokio::test]
async fn without_room_the_next_zone_is_tried_and_a_hinted_one_first() {
    for (hint, zone) in [
        (None, "us-central1-b"),
        (Some(vec!["us-east1-b".to_owned()]), "us-east1-b"),
    ] {
        let stage = Stage::new().await;
        let worker = worker(1);
        let stockout = Fault::Stockout(hint);
        stage.fake.fault_next(Kind::InsertInstance, stockout);
        stage.gcp.ensure(&worker).await.unwrap();
        stage.until(&worker, Ground::Missing).await;
        stage.gcp.ensure(&worker).await.unwrap();
        let up = stage.until(&worker, Ground::Up).await;
        assert_eq!(up.zone, zone);
        stage.assert_left(&[&worker]).await;
    }
}

#[tokio::test]
async fn what_only_people_can_mend_is_permanent_and_says_who() {
    for (fault, said) in [
        (Fault::Quota("N2_CPUS".to_owned()), "quota is used up"),
        (
            Fault::OperationQuota("N2_CPUS".to_owned()),
            "quota is used up",
        ),
        (
            Fault::Failed("PERMISSIONS_ERROR".to_owned()),
            "may not do this",
        ),
    ] {
        let stage = Stage::new().await;
        let worker = worker(1);
        stage.fake.fault_next(Kind::InsertInstance, fault.clone());
        let first = stage.gcp.ensure(&worker).await;
        let refused = if let Err(refused) = first {
            refused
        } else {
            stage.until(&worker, Ground::Missing).await;
            stage.gcp.ensure(&worker).await.unwrap_err()
        };
        assert!(refused.is_permanent(), "{fault:?}");
        let told = format!("{:#}", anyhow::Error::from(refused));
        assert!(told.contains(said), "{told}");
        // Somebody mended it.
        stage.gcp.ensure(&worker).await.unwrap();
        stage.until(&worker, Ground::Up).await;
        stage.assert_left(&[&worker]).await;
    }
}

#[tokio::test]
async fn what_passes_is_not_permanent() {
    for fault in [
        Fault::RateLimit,
        Fault::TooMany,
        Fault::Status(503),
        Fault::Cut,
    ] {
        let stage = Stage::new().await;
        let worker = worker(1);
        for _ in 0..3 {
            stage.fake.fault_next(Kind::InsertInstance, fault.clone());
        }
        let mut tries = 0;
        while let Err(refused) = stage.gcp.ensure(&worker).await {
            assert!(!refused.is_permanent(), "{fault:?}: {refused:?}");
            tries += 1;
            assert!(tries < 5, "{fault:?}");
        }
        stage.until(&worker, Ground::Up).await;
        stage.assert_left(&[&worker]).await;
    }
}

#[tokio::test]
async fn a_start_that_fails_keeps_the_disk_unless_its_zone_has_no_room() {
    let stage = Stage::new().await;
    let worker = worker(1);
    // What happened while it was made does not count.
    for _ in 0..3 {
        stage
            .fake
            .fault_next(Kind::InsertInstance, Fault::Stockout(None));
        stage.gcp.ensure(&worker).await.unwrap();
        stage.until(&worker, Ground::Missing).await;
    }
    stage.gcp.ensure(&worker).await.unwrap();
    let made = stage.until(&worker, Ground::Up).await;
    stage.gcp.stop(&worker.name).await.unwrap();
    stage.until(&worker, Ground::Stopped).await;

    let passes = Fault::Failed("INTERNAL_ERROR".to_owned());
    for fault in [passes, Fault::Stockout(None), Fault::Stockout(None)] {
        stage.fake.fault_next(Kind::StartInstance, fault);
        stage.gcp.start(&worker).await.unwrap();
        stage.fake.quiet().await;
        assert_eq!(stage.look(&worker).await.ground, Ground::Stopped);
    }
    assert_eq!(stage.fake.ledger().requests(Kind::DeleteInstance), 0);

    stage
        .fake
        .fault_next(Kind::StartInstance, Fault::Stockout(None));
    stage.gcp.start(&worker).await.unwrap();
    stage.fake.quiet().await;
    // The third time that there was no room.
    stage.gcp.start(&worker).await.unwrap();
    stage.until(&worker, Ground::Missing).await;
    stage.gcp.ensure(&worker).await.unwrap();
    let elsewhere = stage.until(&worker, Ground::Up).await;
    assert_ne!(elsewhere.zone, made.zone);
    stage.assert_left(&[&worker]).await;
}

#[tokio::test]
async fn where_no_time_before_the_end_is_to_be_had_the_vm_is_made_without() {
    for takes in [true, false] {
        let stage = Stage::with(Config {
            takes_notice_duration: takes,
            ..Config::default()
        })
        .await;
        let worker = worker(1);
        stage.gcp.ensure(&worker).await.unwrap();
        let up = stage.until(&worker, Ground::Up).await;
        let vm = stage.fake.instance(&up.zone, worker.name.as_str()).unwrap();
        let seconds = &vm["scheduling"]["preemptionNoticeDuration"]["seconds"];
        assert_eq!(seconds.is_null(), !takes, "{seconds}");
        stage.assert_left(&[&worker]).await;
    }
}
