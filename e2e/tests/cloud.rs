//! A class in Google's cloud: from one call to a running class on a spot VM, through
//! its preemption, and back to nothing. Google is the strict fake; agents, guests and
//! their `MicroVMs` are real.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

use std::{sync::Arc, time::Duration};

use clarateach_e2e::{
    House,
    fake_gce::{
        Clock, Config, FakeGce, Pace,
        oracle::{Wanted, check},
    },
    fake_metadata::Keys,
    house::{missing, patience},
    learner::Learner,
    vms::{Vms, addresses},
    wait::until,
};
use clarateach_proto::workshop::{
    RefreshTokenRequest, SeatState, Workshop, WorkshopStatus,
    seat_service_client::SeatServiceClient,
};

/// A fake Google with real workers behind it, and a control plane before it.
struct Stage {
    google: FakeGce,
    vms: Arc<Vms>,
    house: House,
    _disks: tempfile::TempDir,
}

impl Stage {
    async fn new() -> Self {
        let disks = tempfile::Builder::new()
            .prefix("clarateach-e2e-vms-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let vms = Vms::new(disks.path(), Keys::google());
        let google = FakeGce::start(Config {
            addresses: addresses(),
            clock: Clock::Scaled(1.0),
            machines: vms.clone(),
            pace: Pace {
                pending: Duration::from_millis(200),
                boot: Duration::from_secs(1),
                shutdown: Duration::from_secs(1),
                // Google's own half a minute would be waited for: what a class needs
                // of it is asked for by the story.
                preemption: Duration::from_secs(20),
                other: Duration::from_millis(500),
                ..Pace::default()
            },
            ..Config::default()
        })
        .await;
        let house = House::start_before(&google, &[]).await;
        Self {
            google,
            vms,
            house,
            _disks: disks,
        }
    }

    /// What Google has now: zone, name and status.
    fn only_vm(&self) -> (String, String, String) {
        let mut all = self.google.instances();
        assert_eq!(all.len(), 1, "{all:?}");
        all.remove(0)
    }

    fn worker_address(&self, workshop: &Workshop) -> String {
        assert_eq!(workshop.workers.len(), 1);
        let address = workshop.workers[0].address.clone();
        assert!(
            address.starts_with("10.214.0."),
            "{address}: {}",
            self.vms.log("w")
        );
        address
    }

    async fn ready(&self, id: &str) -> Workshop {
        until("every seat to be ready", patience(), async || {
            let now = self.house.workshop(id).await;
            let ready = |seat: &clarateach_proto::workshop::Seat| seat.state() == SeatState::Ready;
            let all = now.seat_list.iter().all(ready);
            if all && now.status() == WorkshopStatus::Running {
                Ok(now)
            } else {
                Err(format!("{:?}: {}", now.status(), now.reason))
            }
        })
        .await
    }

    async fn refresh(&self, learner: &Learner) -> Learner {
        let channel = tonic::transport::Channel::from_shared(self.house.url.clone());
        let channel = channel.unwrap().connect().await.unwrap();
        let mut request = tonic::Request::new(RefreshTokenRequest::default());
        let bearer = format!("Bearer {}", learner.joined.token);
        request
            .metadata_mut()
            .insert("authorization", bearer.parse().unwrap());
        let answer = SeatServiceClient::new(channel).refresh_token(request).await;
        let answer = answer.unwrap().into_inner();
        let mut joined = learner.joined.clone();
        joined.token = answer.token;
        joined.endpoints = answer.endpoints;
        joined.ca_certificate = answer.ca_certificate;
        Learner::new(joined)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_between_signing_and_handing_over_enrols_again() {
    if let Some(why) = missing() {
        println!("SKIPPED: {}: {why}", module_path!());
        return;
    }
    let mut stage = Stage::new().await;
    stage.house.stop_server().await;
    stage.house.spawn_server(&["--crash-at", "enrol:signed"]);
    stage.house.until_serving().await;
    let workshop = stage.house.create("Cut short", 1).await;
    stage.house.until_server_ended().await;
    stage.house.start_server().await;
    stage.ready(&workshop.id).await;
    assert_eq!(stage.only_vm().2, "RUNNING");
    stage.house.delete(&workshop.id).await;
    stage.google.quiet().await;
    assert_eq!(stage.google.instances(), []);
    stage.house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_class_on_a_spot_vm_survives_its_preemption_and_leaves_nothing() {
    if let Some(why) = missing() {
        println!("SKIPPED: {}: {why}", module_path!());
        return;
    }
    let stage = Stage::new().await;
    let workshop = stage.house.class("In the cloud", 2).await;
    let workshop = stage.ready(&workshop.id).await;
    let (zone, name, status) = stage.only_vm();
    assert_eq!(
        (zone.as_str(), status.as_str()),
        ("us-central1-a", "RUNNING")
    );
    let before = stage.worker_address(&workshop);

    let learner = stage.house.join(&workshop.code, "ada").await.unwrap();
    assert!(
        learner.terminal_url.contains(&before),
        "{}",
        learner.terminal_url
    );
    let mut terminal = learner.terminal("").await.unwrap();
    assert_eq!(terminal.run("hostname").await, "seat-1");
    assert_eq!(learner.put("kept.txt", "before").await, 201);

    // Google takes the VM away: learners are told, and their files come back with it.
    stage.google.preempt(&zone, &name, Duration::ZERO);
    let notice = terminal.control("notice").await;
    assert_eq!(notice["kind"], "preempted", "{notice}");
    until("whoever watches to be told", patience(), async || {
        let now = stage.house.workshop(&workshop.id).await;
        let reason = now.workers[0].reason.clone();
        let told = reason.contains("taken away");
        told.then_some(()).ok_or(reason)
    })
    .await;
    let workshop = until("it to be back elsewhere", patience(), async || {
        let now = stage.ready(&workshop.id).await;
        let at = now.workers[0].address.clone();
        if at == before { Err(at) } else { Ok(now) }
    })
    .await;
    let after = stage.worker_address(&workshop);
    let learner = stage.refresh(&learner).await;
    assert!(
        learner.terminal_url.contains(&after),
        "{}",
        learner.terminal_url
    );
    assert_eq!(learner.get("kept.txt").await, (200, "before".into()));
    let mut terminal = learner.terminal("?terminal=again").await.unwrap();
    assert_eq!(terminal.run("cat kept.txt").await, "before");

    stage.house.delete(&workshop.id).await;
    stage.google.quiet().await;
    assert_eq!(stage.google.instances(), []);
    assert_eq!(stage.google.disks(), []);
    let wanted = Wanted {
        worker_label: Some("worker".into()),
        firewalls: ["clarateach-agent".to_owned()].into(),
        ..Wanted::default()
    };
    check(&stage.google.ledger(), &wanted).unwrap();
    stage.house.close();
}
