//! Made, stopped, started, taken and removed; and killed in between.

use clarateach_domain::{ids::WorkerName, plan::Ground};
use clarateach_e2e::fake_gce::{Fault, Kind};
use clarateach_server::provisioner::Provisioner as _;

use crate::{Stage, worker};

/// What there is of this installation.
async fn names(stage: &Stage) -> Vec<WorkerName> {
    let all = stage.gcp.list().await.unwrap();
    all.into_iter().map(|listed| listed.name).collect()
}

#[tokio::test]
async fn a_worker_lives_and_leaves_nothing() {
    let stage = Stage::new().await;
    let worker = worker(1);
    assert_eq!(stage.look(&worker).await.ground, Ground::Missing);
    stage.gcp.ensure(&worker).await.unwrap();
    assert_eq!(stage.look(&worker).await.ground, Ground::Making);
    let up = stage.until(&worker, Ground::Up).await;
    assert_eq!((up.zone.as_str(), up.also.len()), ("us-central1-a", 1));
    assert_eq!(names(&stage).await, std::slice::from_ref(&worker.name));
    let made_at = stage.gcp.list().await.unwrap()[0].made_at;
    assert!(made_at.is_some(), "Google says since when it is there");

    stage.gcp.stop(&worker.name).await.unwrap();
    assert_eq!(stage.look(&worker).await.ground, Ground::Stopping);
    stage.until(&worker, Ground::Stopped).await;
    stage.gcp.start(&worker).await.unwrap();
    let again = stage.until(&worker, Ground::Up).await;
    assert_ne!(again.address, up.address, "Google gives another address");

    stage.gcp.delete(&worker.name).await.unwrap();
    assert_eq!(stage.look(&worker).await.ground, Ground::Ending);
    stage.until(&worker, Ground::Missing).await;
    assert!(stage.gcp.list().await.unwrap().is_empty());
    stage.gcp.delete(&worker.name).await.unwrap();
    stage.assert_nothing_left().await;
}

#[tokio::test]
async fn a_vm_that_no_row_knows_is_listed_and_removed_where_it_is() {
    let mut stage = Stage::new().await;
    let (known, forgotten) = (worker(1), worker(2));
    for worker in [&known, &forgotten] {
        stage.gcp.ensure(worker).await.unwrap();
        stage.until(worker, Ground::Up).await;
    }
    // An older database came back.
    stage.rows.0.lock().unwrap().remove(&forgotten.name);
    stage.restart().await;
    assert!(names(&stage).await.contains(&forgotten.name));
    for _ in 0..2 {
        stage.gcp.delete(&forgotten.name).await.unwrap();
    }
    stage.assert_left(&[&known]).await;
    assert_eq!(names(&stage).await, [known.name]);
}

#[tokio::test]
async fn an_answer_that_was_lost_makes_one_vm_all_the_same() {
    for fault in [Fault::Lost, Fault::Truncated, Fault::WrongType] {
        let mut stage = Stage::new().await;
        let worker = worker(1);
        stage.fake.fault_next(Kind::InsertInstance, fault.clone());
        let lost = stage.gcp.ensure(&worker).await;
        stage.restart().await;
        if lost.is_err() {
            stage.gcp.ensure(&worker).await.unwrap();
        }
        stage.until(&worker, Ground::Up).await;
        assert_eq!(stage.fake.instances().len(), 1, "{fault:?}");
        stage.assert_left(&[&worker]).await;
    }
}

#[tokio::test]
async fn what_is_removed_while_its_making_is_uncertain_does_not_come_later() {
    let mut stage = Stage::new().await;
    let worker = worker(1);
    stage.fake.fault_next(Kind::InsertInstance, Fault::Lost);
    let _lost = stage.gcp.ensure(&worker).await;
    stage.restart().await;
    // As the policy does: again until nothing is there.
    for _ in 0..120 {
        if stage.look(&worker).await.ground == Ground::Missing {
            break;
        }
        let _not_yet = stage.gcp.delete(&worker.name).await;
        stage.fake.advance(std::time::Duration::from_secs(2));
    }
    assert_eq!(stage.look(&worker).await.ground, Ground::Missing);
    stage.assert_nothing_left().await;
}

#[tokio::test]
async fn a_vm_that_google_takes_is_stopped_and_comes_back() {
    let stage = Stage::new().await;
    let worker = worker(1);
    stage.gcp.ensure(&worker).await.unwrap();
    let before = stage.until(&worker, Ground::Up).await;
    let name = worker.name.as_str();
    stage
        .fake
        .preempt(&before.zone, name, std::time::Duration::from_secs(1));
    stage.until(&worker, Ground::Stopped).await;
    stage.gcp.start(&worker).await.unwrap();
    let after = stage.until(&worker, Ground::Up).await;
    assert_ne!(after.address, before.address);
    stage.assert_left(&[&worker]).await;
}

#[tokio::test]
async fn half_a_list_is_no_list() {
    let stage = Stage::new().await;
    let worker = worker(1);
    stage.gcp.ensure(&worker).await.unwrap();
    stage.until(&worker, Ground::Up).await;
    let partial = Fault::Partial("us-central1-a".to_owned());
    stage.fake.fault_next(Kind::AggregatedInstances, partial);
    let refused = stage.gcp.list().await.unwrap_err();
    assert!(
        format!("{refused:?}").contains("us-central1-a"),
        "{refused:?}"
    );
    assert_eq!(stage.gcp.list().await.unwrap().len(), 1);
}

#[tokio::test]
async fn why_a_worker_never_answered_can_be_read() {
    let stage = Stage::new().await;
    let worker = worker(1);
    assert_eq!(stage.gcp.serial_log(&worker.name).await.unwrap(), "");
    stage.gcp.ensure(&worker).await.unwrap();
    let up = stage.until(&worker, Ground::Up).await;
    let name = worker.name.as_str();
    stage
        .fake
        .write_serial(&up.zone, name, "agent: no /dev/kvm\n");
    let log = stage.gcp.serial_log(&worker.name).await.unwrap();
    assert!(log.contains("no /dev/kvm"), "{log}");
}
