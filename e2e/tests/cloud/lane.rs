//! A control plane with a fake of Google for itself and real workers behind that. Several
//! stand side by side, since a class that comes and goes is mostly waited for.

use std::{
    fmt::Debug,
    sync::Arc,
    time::{Duration, Instant},
};

use clarateach_e2e::{
    House,
    fake_gce::{
        Clock, Config, FakeGce, Pace,
        oracle::{Wanted, check},
    },
    fake_metadata::Keys,
    house::patience,
    learner::Learner,
    plane::Plane,
    postgres,
    vms::{Vms, addresses_of},
    wait::tick,
};
use clarateach_proto::workshop::{
    GetWorkshopRequest, JoinWorkshopRequest, Seat, SeatState, Workshop, WorkshopStatus,
};
use rustix::process::Signal;

/// One of them.
pub(crate) struct Lane {
    pub(crate) google: FakeGce,
    pub(crate) vms: Arc<Vms>,
    pub(crate) plane: Plane,
    /// When the server died, since it was told to.
    died: Option<Instant>,
    /// Where it dies once it has died and was started again.
    next: Option<&'static str>,
    _disks: tempfile::TempDir,
}

impl Lane {
    /// With the addresses of this number and a server that answers.
    pub(crate) async fn open(house: &House, number: u8) -> Self {
        let disks = tempfile::Builder::new()
            .prefix("clarateach-e2e-vms-")
            .tempdir_in("/var/tmp")
            .unwrap();
        let vms = Vms::new(disks.path(), Keys::google());
        let google = FakeGce::start(Config {
            addresses: addresses_of(number),
            clock: Clock::Scaled(1.0),
            machines: vms.clone(),
            pace: Pace {
                pending: Duration::from_millis(200),
                boot: Duration::from_millis(500),
                shutdown: Duration::from_millis(500),
                preemption: Duration::from_secs(2),
                other: Duration::from_millis(300),
                ..Pace::default()
            },
            ..Config::default()
        })
        .await;
        let mut flags = vec!["--seats-per-worker".to_owned(), "1".to_owned()];
        if postgres::chosen() {
            let name = format!("lane{:08x}", rand::random::<u32>());
            flags.extend(["--database".to_owned(), postgres::shared().database(&name)]);
        }
        let flags: Vec<_> = flags.iter().map(String::as_str).collect();
        let mut plane = house.plane_before(&google, &format!("lane-{number}"), &flags);
        plane.until_serving().await;
        Self {
            google,
            vms,
            plane,
            died: None,
            next: None,
            _disks: disks,
        }
    }

    /// Another process takes over now, which dies at `point`; the one after it at `next`.
    pub(crate) async fn will_die_at(&mut self, point: &str, next: Option<&'static str>) {
        self.plane.stop().await;
        self.plane.again_with(&["--crash-at", point]);
        self.died = None;
        self.next = next;
    }

    /// How long ago the server died at `point`. The next death is another one's.
    pub(crate) fn since_death(&mut self, point: &str) -> Duration {
        let died = self.died.take();
        died.unwrap_or_else(|| panic!("{point} was never passed"))
            .elapsed()
    }

    /// Whether the server has died as it was told to.
    pub(crate) fn has_died(&self) -> bool {
        self.died.is_some()
    }

    /// Asks until it is so, over the death of the server, which is started again.
    pub(crate) async fn until<T, S: Debug>(
        &mut self,
        what: &str,
        look: impl AsyncFn(&Self) -> Result<T, S>,
    ) -> T {
        let began = Instant::now();
        loop {
            if self.plane.ended() {
                assert!(self.died.is_none(), "{what}: the server died twice");
                self.died = Some(Instant::now());
                self.vms.signal(Signal::CONT);
                let once = self.next.take().map(|point| ["--crash-at", point]);
                self.plane
                    .again_with(once.as_ref().map_or(&[], |once| once.as_slice()));
            }
            match look(self).await {
                Ok(found) => return found,
                Err(seen) => assert!(
                    began.elapsed() < patience(),
                    "{what}: not within {:?}; last seen: {seen:?}",
                    patience()
                ),
            }
            tick().await;
        }
    }

    /// The workshop now.
    pub(crate) async fn workshop(&self, id: &str) -> Result<Workshop, String> {
        let request = GetWorkshopRequest { id: id.to_owned() };
        let answer = self.plane.workshops().await?.get_workshop(request).await;
        Ok(answer.map_err(|refused| refused.to_string())?.into_inner())
    }

    /// Waits until every seat is ready, on workers that are at none of these addresses.
    pub(crate) async fn until_ready(&mut self, id: &str, before: &[String]) -> Workshop {
        self.until("every seat to be ready", async |lane| {
            let now = lane.workshop(id).await?;
            let seats = now.seat_list.iter();
            let all = seats.clone().all(|seat| seat.state() == SeatState::Ready);
            let moved = now.workers.iter();
            let moved = moved
                .clone()
                .all(|worker| !before.contains(&worker.address));
            if now.status() == WorkshopStatus::Running && all && moved {
                return Ok(now);
            }
            let seats: Vec<_> = seats.map(Seat::state).collect();
            Err(format!("{:?}: {} {seats:?}", now.status(), now.reason))
        })
        .await
    }

    /// Takes a seat, or comes back to it.
    pub(crate) async fn join(&mut self, code: &str, reconnect_code: &str) -> Learner {
        self.until("the learner to get in", async |lane| {
            let request = JoinWorkshopRequest {
                code: code.to_owned(),
                reconnect_code: reconnect_code.to_owned(),
                ..Default::default()
            };
            let answer = lane.plane.seats().await?.join_workshop(request).await;
            let answer = answer.map_err(|refused| refused.to_string())?;
            Ok::<_, String>(Learner::new(answer.into_inner()))
        })
        .await
    }

    /// Nothing is there, and nothing ever was too much.
    pub(crate) async fn assert_nothing_left(&self, of: &impl Debug) {
        self.google.quiet().await;
        assert_eq!(self.google.instances(), [], "{of:?}");
        assert_eq!(self.google.disks(), [], "{of:?}");
        let wanted = Wanted {
            labels: ["app", "installation", "worker"].map(str::to_owned).into(),
            worker_label: Some("worker".into()),
            firewalls: ["clarateach-agent".to_owned()].into(),
            ..Wanted::default()
        };
        assert_eq!(check(&self.google.ledger(), &wanted), Ok(()), "{of:?}");
    }
}
