//! Faults come when the script says, and the same seed gives the same ones.

use clarateach_e2e::{
    fake_gce::{Config, FakeGce, Fault, Kind, What},
    wait::until,
};
use http::Method;
use serde_json::{Value, json};

use crate::{ZONE, ask, body, fake, get, instances, post, running, seconds, try_ask};

#[tokio::test]
async fn single_faults_happen_once_and_do_what_they_say() {
    let fake = fake().await;
    let refused = |status: u16, reason: &'static str| (status, json!(reason));
    for (fault, wanted) in [
        (Fault::RateLimit, refused(403, "rateLimitExceeded")),
        (
            Fault::Quota("N2_CPUS".to_owned()),
            refused(403, "quotaExceeded"),
        ),
        (Fault::TooMany, refused(429, "rateLimitExceeded")),
        (Fault::Status(500), refused(500, "internalError")),
        (Fault::Status(502), (502, Value::Null)),
        (Fault::Status(503), refused(503, "backendError")),
    ] {
        fake.fault_next(Kind::InsertInstance, fault);
        let (status, said) = post(&fake, &instances(""), &body("worker-1")).await;
        assert_eq!(
            (status, said["error"]["errors"][0]["reason"].clone()),
            wanted
        );
    }
    fake.fault_next(Kind::InsertInstance, Fault::Cut);
    let cut = try_ask(&fake, Method::POST, &instances(""), &body("worker-1")).await;
    assert!(cut.is_err());
    fake.quiet().await;
    assert!(fake.instances().is_empty(), "none of these did anything");
    fake.fault_next(Kind::InsertInstance, Fault::Lost);
    let lost = try_ask(&fake, Method::POST, &instances(""), &body("worker-1")).await;
    assert!(lost.is_err());
    fake.fault_next(Kind::InsertInstance, Fault::Truncated);
    let (status, half) = post(&fake, &instances(""), &body("worker-2")).await;
    assert_eq!((status, half), (200, Value::Null));
    fake.fault_next(Kind::GetInstance, Fault::WrongType);
    let answer = get(&fake, &instances("/worker-1")).await;
    assert_eq!(answer, (200, Value::Null));
    for (fault, name) in [(Fault::Hang, "worker-4"), (Fault::HangAfter, "worker-3")] {
        fake.fault_next(Kind::InsertInstance, fault.clone());
        let (path, body) = (instances(""), body(name));
        let seen = until("the request to hang", seconds(60), async || {
            let faults = fake.ledger().faults();
            let last = faults.last().map(|(_, fault)| fault.clone());
            if last.as_ref() == Some(&fault) {
                Ok(())
            } else {
                Err(last)
            }
        });
        tokio::select! {
            answer = try_ask(&fake, Method::POST, &path, &body) => panic!("{answer:?}"),
            () = seen => {}
        }
    }
    fake.quiet().await;
    assert_eq!(fake.instances().len(), 3, "and all of these did");
}

#[tokio::test]
async fn a_stockout_shows_in_the_operation_and_never_in_the_instance() {
    let fake = fake().await;
    let hint = vec!["us-central1-b".to_owned(), "us-central1-c".to_owned()];
    for (available, code) in [
        (Some(hint), "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"),
        (None, "ZONE_RESOURCE_POOL_EXHAUSTED"),
    ] {
        fake.fault_next(Kind::InsertInstance, Fault::Stockout(available.clone()));
        let (status, operation) = post(&fake, &instances(""), &body("worker-1")).await;
        assert_eq!(status, 200);
        fake.advance(seconds(2));
        assert_eq!(get(&fake, &instances("/worker-1")).await.0, 404);
        fake.quiet().await;
        let id = operation["id"].as_str().unwrap();
        let (_, operation) = get(&fake, &format!("zones/{ZONE}/operations/{id}")).await;
        assert_eq!(operation["httpErrorStatusCode"], 503);
        let error = &operation["error"]["errors"][0];
        assert_eq!(error["code"], code);
        let info = &error["errorDetails"][0]["errorInfo"]["metadatas"]["zonesAvailable"];
        assert_eq!(info.is_string(), available.is_some());
        assert_eq!(get(&fake, &instances("/worker-1")).await.0, 404);
    }
}

#[tokio::test]
async fn operations_stick_fail_and_vanish() {
    let fake = fake().await;
    let path = |operation: &Value| {
        let id = operation["id"].as_str().unwrap();
        format!("zones/{ZONE}/operations/{id}")
    };
    fake.fault_next(Kind::InsertInstance, Fault::Stuck);
    let (_, stuck) = post(&fake, &instances(""), &body("worker-1")).await;
    fake.advance(seconds(1800));
    assert_eq!(get(&fake, &path(&stuck)).await.1["status"], "RUNNING");
    assert_eq!(
        fake.instance(ZONE, "worker-1").unwrap()["status"],
        "STAGING"
    );
    let delete = ask(&fake, Method::DELETE, &instances("/worker-1"), &Value::Null).await;
    assert_eq!(delete.0, 200, "what sticks can be deleted");
    fake.quiet().await;
    fake.fault_next(
        Kind::InsertInstance,
        Fault::Failed("INTERNAL_ERROR".to_owned()),
    );
    let (_, failed) = post(&fake, &instances(""), &body("worker-2")).await;
    fake.fault_next(
        Kind::InsertInstance,
        Fault::OperationQuota("N2_CPUS".to_owned()),
    );
    let (_, quota) = post(&fake, &instances(""), &body("worker-3")).await;
    fake.fault_next(Kind::InsertInstance, Fault::Vanished);
    let (_, vanished) = post(&fake, &instances(""), &body("worker-4")).await;
    fake.quiet().await;
    for (operation, code) in [(&failed, "INTERNAL_ERROR"), (&quota, "QUOTA_EXCEEDED")] {
        let (_, operation) = get(&fake, &path(operation)).await;
        assert_eq!(operation["error"]["errors"][0]["code"], code);
    }
    assert_eq!(get(&fake, &path(&vanished)).await.0, 404);
    let left = fake.instances();
    assert_eq!(
        left,
        [(ZONE.to_owned(), "worker-4".to_owned(), "RUNNING".to_owned())]
    );
}

#[tokio::test]
async fn quotas_are_counted() {
    let fake = FakeGce::start(Config {
        quotas: [("PREEMPTIBLE_CPUS".to_owned(), 12.0)].into(),
        ..Config::default()
    })
    .await;
    running(&fake, "worker-1").await;
    post(&fake, &instances(""), &body("worker-2")).await;
    fake.quiet().await;
    assert_eq!(fake.instances().len(), 1);
    let (_, region) = get(&fake, "regions/us-central1").await;
    assert_eq!(region["quotas"][0]["usage"], 8.0);
}

#[tokio::test]
async fn an_instance_is_taken_whatever_it_is_doing() {
    for after in [0, 2, 5, 11, 60] {
        let fake = fake().await;
        fake.fault_next(Kind::InsertInstance, Fault::Preempted(seconds(after)));
        post(&fake, &instances(""), &body("worker-1")).await;
        fake.advance(seconds(200));
        let state = fake.instance(ZONE, "worker-1").unwrap()["status"].clone();
        let wanted = if after == 0 { "RUNNING" } else { "TERMINATED" };
        assert_eq!(state, wanted, "after {after} s");
    }
}

/// The faults of a run with this seed.
async fn run(seed: u64) -> Vec<(Kind, Fault)> {
    let fake = FakeGce::start(Config {
        seed,
        ..Config::default()
    })
    .await;
    fake.fault_odds(Kind::InsertInstance, Fault::RateLimit, 0.2);
    fake.fault_odds(Kind::InsertInstance, Fault::Stockout(None), 0.2);
    fake.fault_odds(Kind::GetInstance, Fault::Status(503), 0.3);
    for n in 0..40 {
        post(&fake, &instances(""), &body(&format!("worker-{n}"))).await;
        get(&fake, &instances("/worker-0")).await;
    }
    let ledger = fake.ledger();
    let answers = ledger.entries.iter();
    let answers = answers
        .filter(|e| matches!(e.what, What::Answer { .. }))
        .count();
    assert_eq!(answers, 80);
    ledger.faults()
}

#[tokio::test]
async fn the_same_seed_gives_the_same_faults() {
    let (first, again, other) = (run(7).await, run(7).await, run(8).await);
    assert_eq!(first, again);
    assert_ne!(first, other);
    let kinds = |kind| first.iter().filter(|(of, _)| *of == kind).count();
    assert!(kinds(Kind::InsertInstance) > 5 && kinds(Kind::GetInstance) > 5);
}
