//! A class in Google's cloud: from one call to a running class on a spot VM, through
//! its preemption, and back to nothing. Google is the strict fake; agents, guests and
//! their `MicroVMs` are real.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

mod delayed;
mod direct;
mod hands;
mod kills;
mod lane;
mod life;
mod many;
mod pauses;
mod spot;
mod strays;

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use clarateach_e2e::{
    House,
    fake_gce::{
        Clock, Config, FakeGce, Pace,
        oracle::{Wanted, check},
    },
    fake_metadata::Keys,
    house::{missing, patience, runtime},
    learner::Learner,
    vms::{Vms, addresses_of},
    wait::until,
};
use clarateach_proto::workshop::{
    JoinWorkshopRequest, RefreshTokenRequest, Runtime, SeatState, WatchSeatRequest, Workshop,
    WorkshopStatus, seat_service_client::SeatServiceClient,
};
use tonic::transport::Channel;

/// A fake Google with real workers behind it, and a control plane before it.
struct Stage {
    google: FakeGce,
    vms: Arc<Vms>,
    house: House,
    _disks: tempfile::TempDir,
}

impl Stage {
    /// `None` if no story can be told here.
    async fn new() -> Option<Self> {
        Self::with(&[]).await
    }

    /// The same, and the server gets these flags.
    async fn with(flags: &[&str]) -> Option<Self> {
        if let Some(why) = missing() {
            println!("SKIPPED: {}: {why}", module_path!());
            return None;
        }
        let disks = tempfile::Builder::new()
            .prefix("clarateach-e2e-vms-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let vms = Vms::new(disks.path(), Keys::google());
        let google = FakeGce::start(Config {
            // Those of 0 may be in use by a `fake-google` beside this.
            addresses: addresses_of(5),
            clock: Clock::Scaled(1.0),
            machines: vms.clone(),
            pace: Pace {
                pending: Duration::from_millis(200),
                boot: Duration::from_secs(1),
                shutdown: Duration::from_secs(1),
                // Google's own half a minute would be waited for: what a class needs
                // of it is asked for by the story.
                preemption: match runtime() {
                    Runtime::Firecracker => Duration::from_secs(20),
                    Runtime::Container | Runtime::Unspecified => Duration::from_secs(3),
                },
                other: Duration::from_millis(500),
                ..Pace::default()
            },
            ..Config::default()
        })
        .await;
        let house = House::start_before(&google, flags).await;
        Some(Self {
            google,
            vms,
            house,
            _disks: disks,
        })
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
            address.starts_with("10.214.5."),
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
        let request = as_learner(RefreshTokenRequest::default(), learner);
        let answer = self.house.seats().await.refresh_token(request).await;
        let answer = answer.unwrap().into_inner();
        let mut joined = learner.joined.clone();
        joined.token = answer.token;
        joined.endpoints = answer.endpoints;
        joined.ca_certificate = answer.ca_certificate;
        Learner::new(joined)
    }

    /// The same learner once more, who knows nothing of the present addresses.
    async fn rejoin(&self, workshop: &Workshop, learner: &Learner) -> Learner {
        let again = JoinWorkshopRequest {
            code: workshop.code.clone(),
            reconnect_code: learner.joined.reconnect_code.clone(),
            ..Default::default()
        };
        self.house.join_with(again).await.unwrap()
    }

    /// Deletes the class, and nothing of it may be left, nor have been too much.
    async fn end(self, workshop: &Workshop) {
        self.house.delete(&workshop.id).await;
        self.google.quiet().await;
        assert_eq!(self.google.instances(), []);
        assert_eq!(self.google.disks(), []);
        let wanted = Wanted {
            worker_label: Some("worker".into()),
            firewalls: ["clarateach-agent".to_owned()].into(),
            ..Wanted::default()
        };
        check(&self.google.ledger(), &wanted).unwrap();
        self.house.close();
    }
}

fn as_learner<T>(message: T, learner: &Learner) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    let bearer = format!("Bearer {}", learner.joined.token);
    request
        .metadata_mut()
        .insert("authorization", bearer.parse().unwrap());
    request
}

/// What a learner's Watch says beside the state, as it comes.
#[derive(Clone, Default)]
struct Notices(Arc<Mutex<Vec<String>>>);

impl Notices {
    /// Watches for as long as the control plane lets it.
    async fn of(mut seats: SeatServiceClient<Channel>, learner: &Learner) -> Self {
        let request = as_learner(WatchSeatRequest::default(), learner);
        let mut watch = seats.watch_seat(request).await.unwrap().into_inner();
        let heard = Self::default();
        let notes = heard.clone();
        tokio::spawn(async move {
            while let Ok(Some(said)) = watch.message().await {
                let said = said.notices.into_iter().map(|notice| notice.message);
                notes.0.lock().unwrap().extend(said);
            }
        });
        heard
    }

    /// Waits until something was said that has these words in it.
    async fn until(&self, words: &str) -> String {
        until(&format!("a notice of {words:?}"), patience(), async || {
            let all = self.0.lock().unwrap().clone();
            let found = all.iter().find(|said| said.contains(words));
            found.cloned().ok_or(all)
        })
        .await
    }

    fn count(&self, words: &str) -> usize {
        let all = self.0.lock().unwrap();
        all.iter().filter(|said| said.contains(words)).count()
    }
}
