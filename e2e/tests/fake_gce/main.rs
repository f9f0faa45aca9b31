//! The fakes of Google are as strict, as slow and as faulty as they say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod client;
mod faults;
mod life;
mod lists;
mod metadata;
mod oracle;
mod refusals;
mod seeds;

use std::time::Duration;

use bytes::Bytes;
use clarateach_e2e::{
    fake_gce::{Config, FakeGce},
    http::send,
};
use http::{Method, Request};
use serde_json::{Value, json};

const ZONE: &str = "us-central1-a";

async fn fake() -> FakeGce {
    FakeGce::start(Config::default()).await
}

/// Asks at a path of the project; what is no JSON answers as null.
async fn ask(fake: &FakeGce, method: Method, path: &str, body: &Value) -> (u16, Value) {
    try_ask(fake, method, path, body).await.unwrap()
}

async fn try_ask(
    fake: &FakeGce,
    method: Method,
    path: &str,
    body: &Value,
) -> std::io::Result<(u16, Value)> {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let uri = format!("{}/compute/v1/projects/clarateach-test/{path}", fake.url());
    let request = Request::builder().method(method).uri(uri);
    let request = request.body(Bytes::from(body)).unwrap();
    let answer = send(request, "").await?;
    let said = serde_json::from_slice(answer.body()).unwrap_or_default();
    Ok((answer.status().as_u16(), said))
}

async fn get(fake: &FakeGce, path: &str) -> (u16, Value) {
    ask(fake, Method::GET, path, &Value::Null).await
}

async fn post(fake: &FakeGce, path: &str, body: &Value) -> (u16, Value) {
    ask(fake, Method::POST, path, body).await
}

/// Inserts, and waits until it runs.
async fn running(fake: &FakeGce, name: &str) {
    let (status, said) = post(fake, &instances(""), &body(name)).await;
    assert_eq!(status, 200, "{said}");
    fake.quiet().await;
    assert_eq!(fake.instance(ZONE, name).unwrap()["status"], "RUNNING");
}

fn instances(rest: &str) -> String {
    format!("zones/{ZONE}/instances{rest}")
}

/// A worker as we would ask for it.
fn body(name: &str) -> Value {
    json!({
        "name": name,
        "machineType": format!("zones/{ZONE}/machineTypes/n2-standard-8"),
        "minCpuPlatform": "Intel Cascade Lake",
        "labels": {"app": "clarateach", "installation": "one", "worker": name},
        "disks": [{
            "boot": true, "autoDelete": true,
            "initializeParams": {
                "sourceSnapshot": "global/snapshots/clara2-snapshot",
                "diskSizeGb": "50",
                "diskType": format!("zones/{ZONE}/diskTypes/pd-ssd"),
                "labels": {"app": "clarateach", "installation": "one"},
            },
        }],
        "networkInterfaces": [{
            "network": "global/networks/clarateach",
            "accessConfigs": [{"name": "External NAT", "type": "ONE_TO_ONE_NAT"}],
        }],
        "scheduling": {
            "provisioningModel": "SPOT", "instanceTerminationAction": "STOP",
            "onHostMaintenance": "TERMINATE", "automaticRestart": false,
            "maxRunDuration": {"seconds": "86400"},
        },
        "advancedMachineFeatures": {"enableNestedVirtualization": true},
        "metadata": {"items": [{"key": "ca", "value": "PEM"}]},
        "serviceAccounts": [{
            "email": "worker@clarateach-test.iam.gserviceaccount.com",
            "scopes": ["https://www.googleapis.com/auth/userinfo.email"],
        }],
        "tags": {"items": ["clarateach-agent"]},
    })
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
