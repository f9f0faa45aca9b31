//! What Google would refuse, the fake refuses, in Google's own words.

use http::Method;
use serde_json::{Value, json};

use crate::{ZONE, ask, body, fake, get, instances, post, running};

#[tokio::test]
async fn a_wrong_instance_is_refused_and_leaves_nothing() {
    let fake = fake().await;
    let long = "a".repeat(64);
    let big = "x".repeat(256 * 1024 + 1);
    let many: Vec<_> = (0..3)
        .map(|n| json!({"key": format!("k{n}"), "value": "x".repeat(200_000)}))
        .collect();
    let arm = format!("zones/{ZONE}/machineTypes/t2a-standard-8");
    let e2 = format!("zones/{ZONE}/machineTypes/e2-standard-8");
    // Where in the body, what is put there (null takes it away), status, reason.
    let rows: &[(&str, Value, u16, &str)] = &[
        ("/nmae", json!("x"), 400, "invalid"),
        (
            "/scheduling/onHostMaintenence",
            json!("TERMINATE"),
            400,
            "invalid",
        ),
        ("/name", json!("Worker"), 400, "invalid"),
        ("/name", json!("1-worker"), 400, "invalid"),
        ("/name", json!("worker-"), 400, "invalid"),
        ("/name", json!(long), 400, "invalid"),
        ("/name", json!(7), 400, "invalid"),
        ("/name", Value::Null, 400, "invalid"),
        ("/status", json!("RUNNING"), 400, "invalid"),
        ("/id", json!("5"), 400, "invalid"),
        ("/canIpForward", json!("true"), 400, "invalid"),
        ("/disks", json!({}), 400, "invalid"),
        ("/disks", json!([]), 400, "invalid"),
        ("/disks/0/boot", json!(false), 400, "invalid"),
        (
            "/disks/0/initializeParams/diskSizeGb",
            json!("19"),
            400,
            "invalid",
        ),
        (
            "/disks/0/initializeParams/diskSizeGb",
            json!("much"),
            400,
            "invalid",
        ),
        (
            "/disks/0/initializeParams/diskType",
            json!("pd-ssd"),
            400,
            "invalid",
        ),
        (
            "/disks/0/initializeParams/sourceImage",
            json!("global/images/x"),
            400,
            "invalid",
        ),
        (
            "/disks/0/initializeParams/sourceSnapshot",
            json!("global/snapshots/other"),
            404,
            "notFound",
        ),
        ("/machineType", json!("n2-standard-8"), 400, "invalid"),
        (
            "/machineType",
            json!("zones/us-east1-b/machineTypes/n2-standard-8"),
            400,
            "invalid",
        ),
        (
            "/machineType",
            json!(format!("zones/{ZONE}/machineTypes/n9-huge")),
            404,
            "notFound",
        ),
        ("/machineType", json!(arm), 400, "invalid"),
        ("/machineType", json!(e2), 400, "invalid"),
        ("/machineType", Value::Null, 400, "required"),
        ("/minCpuPlatform", json!("AMD Rome"), 400, "invalid"),
        (
            "/scheduling/provisioningModel",
            json!("CHEAP"),
            400,
            "invalid",
        ),
        (
            "/scheduling/onHostMaintenance",
            json!("MIGRATE"),
            400,
            "invalid",
        ),
        ("/scheduling/automaticRestart", json!(true), 400, "invalid"),
        (
            "/scheduling/instanceTerminationAction",
            Value::Null,
            400,
            "invalid",
        ),
        (
            "/scheduling/maxRunDuration",
            json!({"seconds": "10"}),
            400,
            "invalid",
        ),
        (
            "/scheduling/maxRunDuration",
            json!("86400s"),
            400,
            "invalid",
        ),
        (
            "/scheduling/preemptionNoticeDuration",
            json!({"seconds": "600"}),
            400,
            "invalid",
        ),
        ("/labels/App", json!("x"), 400, "invalid"),
        ("/labels/app", json!("Clara Teach"), 400, "invalid"),
        ("/labels/app", json!("a".repeat(64)), 400, "invalid"),
        ("/labels/app", json!(1), 400, "invalid"),
        ("/metadata/items/0/key", json!("a key"), 400, "invalid"),
        ("/metadata/items/0/value", json!(big), 400, "invalid"),
        ("/metadata/items", json!(many), 400, "invalid"),
        (
            "/metadata/items",
            json!([{"key": "a", "value": ""}, {"key": "a", "value": ""}]),
            400,
            "invalid",
        ),
        ("/metadata/fingerprint", json!("no base64!"), 400, "invalid"),
        ("/tags/items", json!(["Tag"]), 400, "invalid"),
        ("/networkInterfaces", json!([]), 400, "invalid"),
        (
            "/networkInterfaces/0/network",
            json!("global/networks/none"),
            404,
            "notFound",
        ),
        (
            "/networkInterfaces/0/accessConfigs/0/natIP",
            json!("203.0.113.9"),
            400,
            "invalid",
        ),
        (
            "/networkInterfaces/0/accessConfigs/0/type",
            json!("NAT"),
            400,
            "invalid",
        ),
        ("/serviceAccounts/0/email", json!("worker"), 400, "invalid"),
    ];
    for (at, value, status, reason) in rows {
        let mut body = body("worker-1");
        let (parent, last) = at.rsplit_once('/').unwrap();
        let last = last.to_owned();
        let parent = body.pointer_mut(parent).unwrap();
        match (parent, last.parse::<usize>()) {
            (Value::Array(all), Ok(place)) => all[place] = value.clone(),
            (parent, _) => parent[last] = value.clone(),
        }
        let (seen, said) = post(&fake, &instances(""), &body).await;
        assert_eq!(seen, *status, "{at}: {said}");
        assert_eq!(said["error"]["code"], *status, "{at}");
        assert_eq!(
            said["error"]["errors"][0]["reason"], *reason,
            "{at}: {said}"
        );
        assert!(said["error"]["message"].is_string());
    }
    fake.quiet().await;
    assert!(fake.instances().is_empty() && fake.disks().is_empty());
    assert_eq!(fake.ledger().effects().count(), 0);
}

#[tokio::test]
async fn wrong_paths_and_parameters_are_refused() {
    let fake = fake().await;
    running(&fake, "worker-1").await;
    for (path, status) in [
        (
            "zones/us-central1-a/instances?$alt=json&$apiVersion=2026-09-01&alt=json",
            200,
        ),
        ("zones/us-central1-a/instances?fliter=x", 400),
        ("zones/us-central1-a/instances?maxResults=501", 400),
        ("zones/us-central1-a/instances?maxResults=-1", 400),
        ("zones/us-central1-a/instances?filter=labels.app", 400),
        (
            "zones/us-central1-a/instances?filter=labels.app=a%20OR%20labels.app=b",
            400,
        ),
        ("zones/us-central1-a/instances?pageToken=what", 400),
        ("zones/us-central1-a/instances?orderBy=size", 400),
        ("zones/us-central1-z/instances", 404),
        ("zones/us-central1-a/instances/worker-2", 404),
        ("zones/us-central1-a/instances/Worker", 400),
        ("zones/us-central1-a/machines", 404),
        ("zones/us-central1-a/operations/12", 404),
        ("global/snapshots/other", 404),
        ("global/images/family/clarateach-worker", 200),
        ("global/images/family/other", 404),
        ("regions/us-central1", 200),
        ("regions/mars1", 404),
    ] {
        let (seen, said) = get(&fake, path).await;
        assert_eq!(seen, status, "{path}: {said}");
    }
    let (status, said) = post(&fake, &instances(""), &body("worker-1")).await;
    assert_eq!(status, 409);
    assert_eq!(said["error"]["errors"][0]["reason"], "alreadyExists");
}

#[tokio::test]
async fn labels_and_metadata_want_the_fingerprint_that_was_seen() {
    let fake = fake().await;
    running(&fake, "worker-1").await;
    let (_, seen) = get(&fake, &instances("/worker-1")).await;
    let metadata =
        |print: &Value| json!({"items": [{"key": "ca", "value": "2"}], "fingerprint": print});
    let path = instances("/worker-1/setMetadata");
    let (status, said) = post(&fake, &path, &metadata(&json!("AAAA"))).await;
    assert_eq!(
        (status, &said["error"]["errors"][0]["reason"]),
        (412, &json!("conditionNotMet"))
    );
    let fresh = metadata(&seen["metadata"]["fingerprint"]);
    assert_eq!(post(&fake, &path, &fresh).await.0, 200);
    fake.quiet().await;
    assert_eq!(
        post(&fake, &path, &fresh).await.0,
        412,
        "it has changed since"
    );
    let labels = json!({"labels": {"app": "x"}, "labelFingerprint": seen["labelFingerprint"]});
    assert_eq!(
        post(&fake, &instances("/worker-1/setLabels"), &labels)
            .await
            .0,
        200
    );
    fake.quiet().await;
    let (_, seen) = get(&fake, &instances("/worker-1")).await;
    assert_eq!(seen["labels"], json!({"app": "x"}));
    assert_eq!(seen["metadata"]["items"][0]["value"], "2");
}

#[tokio::test]
async fn firewall_rules_are_checked_and_patched() {
    let fake = fake().await;
    let rule = json!({
        "name": "clarateach-agent", "network": "global/networks/clarateach",
        "allowed": [{"IPProtocol": "tcp", "ports": ["9090"]}],
        "sourceRanges": ["0.0.0.0/0"],
        "targetServiceAccounts": ["worker@clarateach-test.iam.gserviceaccount.com"],
    });
    for (name, value) in [
        ("allowed", json!([])),
        (
            "allowed",
            json!([{"IPProtocol": "tcp", "ports": ["70000"]}]),
        ),
        ("allowed", json!([{"IPProtocol": "icmp", "ports": ["1"]}])),
        ("sourceRanges", json!(["everywhere"])),
        ("targetTags", json!(["a"])),
        ("direction", json!("EGRESS")),
        ("priority", json!(70_000)),
        ("selfLink", json!("x")),
    ] {
        let mut wrong = rule.clone();
        wrong[name] = value;
        let (status, said) = post(&fake, "global/firewalls", &wrong).await;
        assert_eq!(status, 400, "{name}: {said}");
    }
    assert_eq!(post(&fake, "global/firewalls", &rule).await.0, 200);
    fake.quiet().await;
    let path = "global/firewalls/clarateach-agent";
    let patch = json!({"sourceRanges": ["198.51.100.0/24"]});
    assert_eq!(ask(&fake, Method::PATCH, path, &patch).await.0, 200);
    fake.quiet().await;
    let (_, seen) = get(&fake, path).await;
    assert_eq!(seen["sourceRanges"], json!(["198.51.100.0/24"]));
    assert_eq!(seen["priority"], 1000);
    assert_eq!(ask(&fake, Method::DELETE, path, &Value::Null).await.0, 200);
    fake.quiet().await;
    assert_eq!(get(&fake, path).await.0, 404);
}
