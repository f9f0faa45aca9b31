//! The oracle is content with a good story and finds each planted wrong.

use clarateach_e2e::fake_gce::{
    Cause, Effect, Entry, FakeGce, Ledger, What,
    oracle::{Wanted, check},
};
use http::Method;
use serde_json::{Value, json};

use crate::{ZONE, ask, body, fake, instances, post, running, seconds};

fn wanted(running: &[&str]) -> Wanted {
    Wanted {
        running: running.iter().map(ToString::to_string).collect(),
        labels: ["app".to_owned(), "installation".to_owned()].into(),
        worker_label: Some("worker".to_owned()),
        ..Wanted::default()
    }
}

/// What is wrong, as one text.
fn wrong(ledger: &Ledger, wanted: &Wanted) -> String {
    let found = check(ledger, wanted).expect_err("the oracle saw nothing");
    let all: Vec<_> = found.into_iter().map(|violation| violation.0).collect();
    all.join("\n")
}

async fn one() -> FakeGce {
    let fake = fake().await;
    running(&fake, "worker-1").await;
    fake
}

#[tokio::test]
async fn a_good_story_is_good() {
    let fake = one().await;
    assert_eq!(check(&fake.ledger(), &wanted(&["worker-1"])), Ok(()));
    fake.preempt(ZONE, "worker-1", seconds(5));
    fake.advance(seconds(60));
    let stopped = Wanted {
        stopped: ["worker-1".to_owned()].into(),
        ..wanted(&[])
    };
    assert_eq!(check(&fake.ledger(), &stopped), Ok(()));
    ask(&fake, Method::DELETE, &instances("/worker-1"), &Value::Null).await;
    fake.quiet().await;
    assert_eq!(check(&fake.ledger(), &wanted(&[])), Ok(()));
}

#[tokio::test]
async fn a_leaked_instance_and_a_missing_one_are_seen() {
    let fake = one().await;
    assert!(wrong(&fake.ledger(), &wanted(&[])).contains("workers that run"));
    let both = wanted(&["worker-1", "worker-2"]);
    assert!(wrong(&fake.ledger(), &both).contains("worker-2"));
}

#[tokio::test]
async fn two_instances_of_one_worker_are_seen() {
    let fake = one().await;
    let mut twin = body("worker-1");
    let text = twin.to_string().replace("us-central1-a", "us-central1-b");
    twin = serde_json::from_str(&text).unwrap();
    let (status, said) = post(&fake, "zones/us-central1-b/instances", &twin).await;
    assert_eq!(status, 200, "{said}");
    fake.quiet().await;
    let path = "zones/us-central1-b/instances/worker-1";
    ask(&fake, Method::DELETE, path, &Value::Null).await;
    fake.quiet().await;
    let found = wrong(&fake.ledger(), &wanted(&["worker-1"]));
    assert!(found.contains("2 live instances of worker-1"), "{found}");
}

#[tokio::test]
async fn an_effect_without_a_request_is_seen() {
    let fake = one().await;
    let mut ledger = fake.ledger();
    let made = ledger.effects().find_map(|(_, _, effect)| match effect {
        Effect::InstanceMade(seen) => Some(seen.clone()),
        _ => None,
    });
    let mut seen = made.unwrap();
    seen.id += 1;
    seen.name = "worker-2".to_owned();
    seen.labels
        .insert("worker".to_owned(), "worker-2".to_owned());
    ledger.entries.push(Entry {
        at: seconds(60),
        what: What::Effect {
            cause: Cause::Request(77),
            effect: Effect::InstanceMade(seen),
        },
    });
    let both = wanted(&["worker-1", "worker-2"]);
    assert!(wrong(&ledger, &both).contains("no request for it"));
    // A request that comes after its effect is none.
    let mut turned = fake.ledger();
    turned.entries.reverse();
    assert!(wrong(&turned, &wanted(&["worker-1"])).contains("no request for it"));
}

#[tokio::test]
async fn what_has_no_label_is_left_or_comes_back_is_seen() {
    let fake = fake().await;
    let mut bare = body("worker-1");
    bare["labels"] = json!({"worker": "worker-1"});
    bare["disks"][0]["autoDelete"] = json!(false);
    post(&fake, &instances(""), &bare).await;
    fake.quiet().await;
    let found = wrong(&fake.ledger(), &wanted(&["worker-1"]));
    assert!(
        found.contains("instance worker-1 has no label app"),
        "{found}"
    );
    ask(&fake, Method::DELETE, &instances("/worker-1"), &Value::Null).await;
    fake.quiet().await;
    fake.plant_address("us-central1", "forgotten", [198, 51, 100, 7].into(), &[]);
    let found = wrong(&fake.ledger(), &wanted(&[]));
    assert!(
        found.contains("worker-1 in us-central1-a is left behind"),
        "{found}"
    );
    assert!(
        found.contains("forgotten in us-central1 is left behind"),
        "{found}"
    );
    let since = fake.now();
    let path = format!("zones/{ZONE}/disks/worker-1");
    ask(&fake, Method::DELETE, &path, &Value::Null).await;
    fake.quiet().await;
    running(&fake, "worker-1").await;
    let gone = Wanted {
        gone: [("worker-1".to_owned(), since)].into(),
        ..wanted(&["worker-1"])
    };
    assert!(wrong(&fake.ledger(), &gone).contains("was deleted and came back"));
}
