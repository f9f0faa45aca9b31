//! Two control planes on machines of their own, before a fake of Google: what one began the
//! other ends, and there is one VM.

use std::{collections::BTreeSet, time::Duration};

use clarateach_e2e::{
    House,
    fake_gce::{
        Clock, Config, Effect, FakeGce, Kind, Pace,
        oracle::{Wanted, check},
    },
    house::patience,
    plane::Plane,
    postgres,
    wait::until,
};
use http::Method;
use rustix::process::Signal;

use crate::missing;

async fn google() -> FakeGce {
    FakeGce::start(Config {
        clock: Clock::Scaled(1.0),
        pace: Pace {
            pending: Duration::from_millis(500),
            boot: Duration::from_secs(2),
            shutdown: Duration::from_millis(500),
            other: Duration::from_millis(500),
            ..Pace::default()
        },
        ..Config::default()
    })
    .await
}

/// Asks until it answers as it should, with that machine's own admin token.
async fn ask(plane: &Plane, method: Method, path: &str, body: &str) -> serde_json::Value {
    let token = plane.admin_token();
    until(
        &format!("{method} {path}"),
        patience(),
        async || match plane.ask(&token, method.clone(), path, body).await {
            Ok((200..=299, answer)) => Ok(answer),
            other => Err(other),
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_a_lost_control_plane_asked_for_is_one_and_goes() {
    if missing() {
        return;
    }
    let google = google().await;
    let url = postgres::shared().database("cloud");
    let flags = ["--database", &url];
    let mut house = House::start_before(&google, &flags).await;
    house.stop_server().await;
    let mut near = house.plane_apart("near", &flags);
    let mut far = house.plane_apart("far", &flags);
    for plane in [&mut near, &mut far] {
        plane.until_serving().await;
    }
    for signal in [Signal::STOP, Signal::KILL] {
        let inserts = google.ledger().requests(Kind::InsertInstance);
        let wish = r#"{"name":"cloud","seats":1,"runtime":"firecracker"}"#;
        let made = ask(&near, Method::POST, "/api/workshops", wish).await;
        let path = format!("/api/workshops/{}", made["id"].as_str().unwrap());
        until("the VM to be asked for", patience(), async || {
            let now = google.ledger().requests(Kind::InsertInstance);
            if now > inserts { Ok(()) } else { Err(now) }
        })
        .await;
        near.signal(signal);
        ask(&far, Method::DELETE, &path, "").await;
        until("the other to remove it", patience(), async || {
            let seen = ask(&far, Method::GET, &path, "").await;
            if seen["status"] == "deleted" {
                Ok(())
            } else {
                Err(seen)
            }
        })
        .await;
        if signal == Signal::STOP {
            near.signal(Signal::CONT);
            assert_eq!(
                ask(&near, Method::GET, &path, "").await["status"],
                "deleted"
            );
        }
    }
    near.kill();
    google.quiet().await;
    assert_eq!(google.instances(), []);
    let wanted = Wanted {
        labels: ["app", "installation", "worker"].map(str::to_owned).into(),
        worker_label: Some("worker".to_owned()),
        firewalls: ["clarateach-agent".to_owned()].into(),
        ..Wanted::default()
    };
    assert_eq!(check(&google.ledger(), &wanted), Ok(()));
    // Both name their VMs alike, or neither would find the other's.
    let ledger = google.ledger();
    let made = ledger.effects().filter_map(|(_, _, effect)| match effect {
        Effect::InstanceMade(seen) => Some(seen.labels["installation"].clone()),
        _ => None,
    });
    let labels: BTreeSet<_> = made.collect();
    assert_eq!(labels.len(), 1, "{labels:?}");
    drop(far);
    house.close();
}
