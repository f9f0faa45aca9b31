//! Operations take their time, and instances change as they go.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use clarateach_e2e::fake_gce::{Config, FakeGce, Machine, Machines};
use http::Method;
use serde_json::{Value, json};

use crate::{ZONE, ask, body, fake, get, instances, post, running, seconds};

fn nat(fake: &FakeGce, name: &str) -> Value {
    let instance = fake.instance(ZONE, name).unwrap();
    instance["networkInterfaces"][0]["accessConfigs"][0]["natIP"].clone()
}

#[tokio::test]
async fn an_insert_goes_through_its_states_in_virtual_time() {
    let fake = fake().await;
    let (status, operation) = post(&fake, &instances(""), &body("worker-1")).await;
    assert_eq!(status, 200);
    let id: u64 = operation["id"].as_str().unwrap().parse().unwrap();
    let path = format!("zones/{ZONE}/operations/{id}");
    let mut seen = vec![];
    for _ in 0..12 {
        let (_, operation) = get(&fake, &path).await;
        let (status, instance) = get(&fake, &instances("/worker-1")).await;
        let state = if status == 404 {
            json!("404")
        } else {
            instance["status"].clone()
        };
        let both = format!("{} {}", operation["status"], state).replace('"', "");
        if seen.last() != Some(&both) {
            seen.push(both);
        }
        fake.advance(seconds(1));
    }
    let wanted = [
        "PENDING 404",
        "RUNNING PROVISIONING",
        "RUNNING STAGING",
        "DONE RUNNING",
    ];
    assert_eq!(seen, wanted);
    assert!(nat(&fake, "worker-1").is_string());
    fake.advance(seconds(3601));
    assert_eq!(get(&fake, &path).await.0, 404, "forgotten");
}

#[tokio::test]
async fn a_wait_ends_with_the_operation() {
    let fake = fake().await;
    let (_, operation) = post(&fake, &instances(""), &body("worker-1")).await;
    let name = operation["name"].as_str().unwrap();
    let path = format!("zones/{ZONE}/operations/{name}/wait");
    let waits = post(&fake, &path, &Value::Null);
    let (answer, ()) = tokio::join!(waits, fake.quiet());
    assert_eq!(answer.1["status"], "DONE");
}

#[tokio::test]
async fn the_same_request_id_is_the_same_request() {
    let fake = fake().await;
    let path = instances("?requestId=6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    let (_, first) = post(&fake, &path, &body("worker-1")).await;
    let (status, again) = post(&fake, &path, &body("worker-1")).await;
    assert_eq!((status, &again["id"]), (200, &first["id"]));
    assert_eq!(
        post(&fake, &path, &body("worker-2")).await.0,
        400,
        "another request"
    );
    fake.quiet().await;
    let (status, done) = post(&fake, &path, &body("worker-1")).await;
    assert_eq!(
        (status, &done["id"], &done["status"]),
        (200, &first["id"], &json!("DONE"))
    );
    assert_eq!(fake.instances().len(), 1);
    for id in ["00000000-0000-0000-0000-000000000000", "seven"] {
        let path = instances(&format!("?requestId={id}"));
        assert_eq!(post(&fake, &path, &body("worker-3")).await.0, 400, "{id}");
    }
}

#[tokio::test]
async fn a_restart_gives_another_address_and_a_reset_does_not() {
    let fake = fake().await;
    running(&fake, "worker-1").await;
    let first = nat(&fake, "worker-1");
    post(&fake, &instances("/worker-1/reset"), &Value::Null).await;
    fake.quiet().await;
    assert_eq!(nat(&fake, "worker-1"), first);
    post(&fake, &instances("/worker-1/stop"), &Value::Null).await;
    fake.quiet().await;
    assert_eq!(
        fake.instance(ZONE, "worker-1").unwrap()["status"],
        "TERMINATED"
    );
    assert!(nat(&fake, "worker-1").is_null());
    let before = fake.bill();
    fake.advance(seconds(3600));
    let after = fake.bill();
    assert!(after.disk_gigabyte_seconds - before.disk_gigabyte_seconds >= 50.0 * 3600.0);
    let ran = after.machine_seconds - before.machine_seconds;
    assert!(ran.abs() < 0.001, "a stopped machine ran for {ran} s");
    post(&fake, &instances("/worker-1/start"), &Value::Null).await;
    fake.quiet().await;
    assert!(nat(&fake, "worker-1").is_string());
    assert_ne!(nat(&fake, "worker-1"), first);
}

#[tokio::test]
async fn a_delete_takes_the_disk_that_is_to_go_and_leaves_the_other() {
    let fake = fake().await;
    running(&fake, "worker-1").await;
    let mut keeps = body("worker-2");
    keeps["disks"][0]["autoDelete"] = json!(false);
    post(&fake, &instances(""), &keeps).await;
    fake.quiet().await;
    for name in ["worker-1", "worker-2"] {
        let path = instances(&format!("/{name}"));
        assert_eq!(ask(&fake, Method::DELETE, &path, &Value::Null).await.0, 200);
    }
    fake.quiet().await;
    assert!(fake.instances().is_empty());
    assert_eq!(fake.disks(), [(ZONE.to_owned(), "worker-2".to_owned())]);
    let path = format!("zones/{ZONE}/disks/worker-2");
    assert_eq!(ask(&fake, Method::DELETE, &path, &Value::Null).await.0, 200);
    fake.quiet().await;
    assert!(fake.disks().is_empty());
}

#[tokio::test]
async fn google_takes_a_spot_instance_and_one_whose_run_is_over() {
    let fake = fake().await;
    running(&fake, "worker-1").await;
    let path = instances("/worker-1/simulateMaintenanceEvent");
    assert_eq!(post(&fake, &path, &Value::Null).await.0, 200);
    fake.advance(seconds(2));
    assert_eq!(
        fake.instance(ZONE, "worker-1").unwrap()["status"],
        "STOPPING"
    );
    fake.advance(seconds(30));
    assert_eq!(
        fake.instance(ZONE, "worker-1").unwrap()["status"],
        "TERMINATED"
    );
    let filter = "filter=operationType%3D%22compute.instances.preempted%22";
    let (_, found) = get(&fake, &format!("zones/{ZONE}/operations?{filter}")).await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    post(&fake, &instances("/worker-1/start"), &Value::Null).await;
    fake.quiet().await;
    fake.advance(seconds(86_400 + 60));
    assert_eq!(
        fake.instance(ZONE, "worker-1").unwrap()["status"],
        "TERMINATED"
    );
}

#[derive(Default)]
struct Told(Mutex<Vec<String>>);

impl Told {
    fn note(&self, what: &str, machine: &Machine) {
        let nat = machine.nat.is_some();
        self.0
            .lock()
            .unwrap()
            .push(format!("{what} {} {nat}", machine.name));
    }
}

#[async_trait]
impl Machines for Told {
    async fn boot(&self, machine: &Machine) {
        assert_eq!(machine.metadata["ca"], "PEM");
        self.note("boot", machine);
    }

    async fn notice(&self, machine: &Machine) {
        self.note("notice", machine);
    }

    async fn stop(&self, machine: &Machine) {
        self.note("stop", machine);
    }

    async fn delete(&self, machine: &Machine) {
        self.note("delete", machine);
    }
}

#[tokio::test]
async fn machines_are_told_in_order() {
    let told = Arc::new(Told::default());
    let fake = FakeGce::start(Config {
        machines: told.clone(),
        ..Config::default()
    })
    .await;
    running(&fake, "worker-1").await;
    fake.preempt(ZONE, "worker-1", seconds(0));
    fake.quiet().await;
    ask(&fake, Method::DELETE, &instances("/worker-1"), &Value::Null).await;
    fake.quiet().await;
    let wanted = [
        "boot worker-1 true",
        "notice worker-1 true",
        "stop worker-1 false",
        "delete worker-1 false",
    ];
    assert_eq!(*told.0.lock().unwrap(), wanted);
}
