//! The loop with real parts: a real store, local workers, the real agent and
//! its container runtime. Needs root, the agent's binary and an image; says so
//! where one is missing. Where it is the agent's words that matter, a fake one
//! says them.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use clarateach_certs::ca::Ca;
use clarateach_domain::{
    egress::Egress,
    ids::{JoinCode, WorkerName, WorkshopId},
    limits::Asked,
    microvm::{Resources, Runtime},
    plan::Ordinal,
    workshop::{Phase, SeatState},
};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{Reconciler, Wake, observe::LEAF_LIFE};
use crate::{
    agents::Agents,
    config::FirecrackerArgs,
    crash::CrashAt,
    provisioner::{
        Described, Listed, ProvisionError, Provisioner, WorkerSpec,
        local::{DEFAULT_ALLOC_DIR, DEFAULT_SUBNET, Local, LocalSettings, down},
    },
    store::{
        Store,
        limits::Limits,
        requests::RequestKey,
        sealing::random,
        seats::Upheaval,
        settled::Settled,
        view::WorkshopView,
        workshops::{Change, NewSecrets, NewWorkshop},
    },
};

mod egress;
mod fakes;
mod looking;
mod sweeping;
mod usual;

use fakes::Fakes;

// Made for this test with `openssl genpkey -algorithm ed25519`.
const SEAT_KEY: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIL6wD9PCUN06aYJOiwoaK2iagyhiOcbsHYHN4/Vm2xmT
-----END PRIVATE KEY-----
";
const SEAT_KEY_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEA+dtBS1Vqx1kSjOdcD5BcHgjU7R+AP6/498W11Jg5V/c=
-----END PUBLIC KEY-----
";
const IMAGES: &str = "/var/cache/clarateach/images";
const PATIENCE: Duration = Duration::from_mins(1);

fn limits() -> Limits {
    Limits {
        seats_per_worker: 2.try_into().unwrap(),
        max_workers: 20,
        max_seats_per_owner: 500,
    }
}

fn no_key() -> RequestKey {
    RequestKey::new("test", "test", "", b"")
}

/// Local workers, which can be made to answer nothing for a while.
struct Sticky {
    local: Local,
    stuck: Arc<AtomicBool>,
}

#[async_trait]
impl Provisioner for Sticky {
    fn runtimes(&self) -> Vec<Runtime> {
        self.local.runtimes()
    }
    async fn ensure(&self, worker: &WorkerSpec) -> Result<(), ProvisionError> {
        self.local.ensure(worker).await
    }
    async fn describe(&self, name: &WorkerName) -> Result<Described, ProvisionError> {
        while self.stuck.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.local.describe(name).await
    }
    async fn list(&self) -> Result<Vec<Listed>, ProvisionError> {
        self.local.list().await
    }
    async fn stop(&self, name: &WorkerName) -> Result<(), ProvisionError> {
        self.local.stop(name).await
    }
    async fn start(&self, worker: &WorkerSpec) -> Result<(), ProvisionError> {
        self.local.start(worker).await
    }
    async fn delete(&self, name: &WorkerName) -> Result<(), ProvisionError> {
        self.local.delete(name).await
    }
}

/// A control plane without its doors, which can be stopped and started.
struct Stage {
    dir: tempfile::TempDir,
    leaf_life: Duration,
    /// Looking at workers takes for ever.
    stuck: Arc<AtomicBool>,
    /// Of the present reconciler.
    store: Store,
    wake: Wake,
    stop: CancellationToken,
    running: Option<JoinHandle<()>>,
    /// In place of local workers.
    fakes: Option<Arc<Fakes>>,
}

fn seats(wanted: u32) -> Change {
    Change {
        seats: Some(wanted),
        ..Change::default()
    }
}

impl Stage {
    async fn new() -> Option<Self> {
        Self::with_leaf_life(LEAF_LIFE).await
    }

    async fn with_leaf_life(leaf_life: Duration) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            println!("SKIPPED: local workers need root");
            return None;
        }
        if !agent().exists() || !Path::new(IMAGES).join("current").exists() {
            println!("SKIPPED: no {} or no image in {IMAGES}", agent().display());
            return None;
        }
        let mut stage = Self::empty(leaf_life).await;
        stage.start();
        Some(stage)
    }

    /// With workers that are no machines.
    async fn faked(too_old: bool) -> Self {
        let mut stage = Self::empty(LEAF_LIFE).await;
        stage.fakes = Some(Arc::new(Fakes::new(stage.dir.path(), too_old)));
        stage.start();
        stage
    }

    fn fakes(&self) -> &Fakes {
        self.fakes.as_ref().unwrap()
    }

    async fn empty(leaf_life: Duration) -> Self {
        rustls::crypto::ring::default_provider()
            .install_default()
            .ok();
        let _ = tracing_subscriber::fmt()
            .with_env_filter("info,sqlx=warn")
            .with_test_writer()
            .try_init();
        let dir = tempfile::tempdir().unwrap();
        let store = Store::of_test(dir.path()).await;
        let token = dir.path().join("admin.token");
        store.ensure_admin(&token, Utc::now()).await.unwrap();
        Self {
            dir,
            leaf_life,
            stuck: Arc::default(),
            store,
            wake: Wake::default(),
            stop: CancellationToken::new(),
            running: None,
            fakes: None,
        }
    }

    fn provisioner(&self) -> Arc<dyn Provisioner> {
        if let Some(fakes) = &self.fakes {
            return fakes.clone();
        }
        let local = Local::open(LocalSettings {
            data_dir: self.dir.path().to_owned(),
            agent: agent(),
            images: IMAGES.into(),
            firecracker: FirecrackerArgs::default(),
            alloc_dir: DEFAULT_ALLOC_DIR.into(),
            subnet: DEFAULT_SUBNET.parse().unwrap(),
            runtimes: vec![Runtime::Container],
            allowed_origins: vec![],
            nameservers: vec![],
        });
        Arc::new(Sticky {
            local: local.unwrap(),
            stuck: self.stuck.clone(),
        })
    }

    fn start(&mut self) {
        self.wake = Wake::default();
        self.stop = CancellationToken::new();
        let reconciler = Reconciler::new(
            self.store.clone(),
            self.provisioner(),
            Agents::new(self.wake.clone()),
            self.wake.clone(),
            CrashAt::default(),
        )
        .with_leaf_life(self.leaf_life);
        self.running = Some(tokio::spawn(reconciler.run(self.stop.clone())));
    }

    /// As a kill would: whatever was under way breaks off.
    async fn kill(&mut self) {
        let running = self.running.take().unwrap();
        running.abort();
        let _ = running.await;
    }

    async fn create(&self, seats: u32) -> WorkshopId {
        self.create_for(seats, TimeDelta::hours(1)).await
    }

    async fn create_for(&self, seats: u32, life: TimeDelta) -> WorkshopId {
        self.create_with(seats, life, Egress::Internet).await
    }

    async fn create_with(&self, seats: u32, life: TimeDelta, egress: Egress) -> WorkshopId {
        let now = Utc::now();
        let id = WorkshopId::from_random(random().unwrap());
        let ca = Ca::generate(id.as_str(), now, Duration::from_hours(48)).unwrap();
        let new = NewWorkshop {
            id: id.clone(),
            owner_id: self
                .store
                .principal_named("admin")
                .await
                .unwrap()
                .unwrap()
                .id,
            name: "Python 101".into(),
            seats,
            runtime: Runtime::Container,
            expires_at: now + life,
            env: [("GREETING".to_owned(), "hello".to_owned())].into(),
            resources: Resources {
                vcpus: 1,
                memory_mib: 256,
                disk_mib: 64,
            },
            limits: Asked {
                network_mbits: 50,
                disk_mib_per_second: 20,
                processes: 300,
            },
            egress,
            template: "base".into(),
            instructions: String::new(),
            secrets: NewSecrets {
                code: JoinCode::from_random(random().unwrap()),
                ca_certificate: ca.certificate_pem().to_owned(),
                ca_key: ca.key_pem(),
                seat_key_public: SEAT_KEY_PUBLIC.into(),
                seat_key: SEAT_KEY.into(),
            },
        };
        let made = self
            .store
            .create_workshop("test", new, &no_key(), &limits(), now)
            .await;
        let id = made.unwrap().unwrap();
        self.wake.workshop(&id);
        id
    }

    async fn until(
        &self,
        id: &WorkshopId,
        what: &str,
        fits: impl Fn(&WorkshopView) -> bool,
    ) -> WorkshopView {
        let began = Instant::now();
        loop {
            let view = self.store.workshop_view(id).await.unwrap().unwrap();
            if fits(&view) {
                println!("{what} after {:?}", began.elapsed());
                return view;
            }
            assert!(
                began.elapsed() < PATIENCE,
                "not {what}: {:?} {}; {:?}; agent: {}",
                view.workshop.phase,
                view.workshop.reason,
                view.seats
                    .iter()
                    .map(|s| (s.state, s.reason.clone()))
                    .collect::<Vec<_>>(),
                self.agent_log(id),
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn until_phase(&self, id: &WorkshopId, phase: Phase) -> WorkshopView {
        self.until(id, &format!("{phase}"), |view| view.workshop.phase == phase)
            .await
    }

    async fn change(&self, id: &WorkshopId, change: Change) {
        let (key, limits) = (no_key(), limits());
        let done = self
            .store
            .update_workshop("test", id, &change, &key, &limits, Utc::now());
        done.await.unwrap().unwrap();
        self.wake.workshop(id);
    }

    async fn delete(&self, id: &WorkshopId) {
        let now = Utc::now();
        let done = self.store.delete_workshop("test", id, &no_key(), now).await;
        done.unwrap().unwrap();
        self.wake.workshop(id);
    }

    fn worker_dir(&self, id: &WorkshopId, ordinal: u32) -> PathBuf {
        self.dir.path().join(format!("workers/{id}-w{ordinal}"))
    }

    fn agent_pid(&self, id: &WorkshopId) -> String {
        let pid = self.worker_dir(id, 1).join("run/agent.pid");
        std::fs::read_to_string(pid).unwrap().trim().to_owned()
    }

    /// The certificate the agent keeps, as it was told last, and its end.
    fn certificate(&self, id: &WorkshopId) -> (String, DateTime<Utc>) {
        let kept = self.worker_dir(id, 1).join("run/certificate.pem");
        let kept = std::fs::read_to_string(kept).unwrap();
        let ends = clarateach_certs::tls::expiry(&kept).unwrap();
        (kept, ends)
    }

    fn agent_log(&self, id: &WorkshopId) -> String {
        std::fs::read_to_string(self.worker_dir(id, 1).join("agent.log")).unwrap_or_default()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            running.abort();
        }
        if self.fakes.is_some() {
            return;
        }
        if let Err(cause) = down(self.dir.path()) {
            println!("could not clean up: {cause:?}");
        }
    }
}

/// The agent that was built beside this test.
fn agent() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    own.ancestors().nth(2).unwrap().join("clarateach-agent")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workshop_lives_through_everything_and_leaves_nothing() {
    let Some(mut stage) = Stage::new().await else {
        return;
    };
    let id = stage.create(3).await;
    let view = stage.until_phase(&id, Phase::Running).await;
    assert_eq!(view.workers.len(), 2, "two seats a worker");
    assert!(view.seats.iter().all(|seat| seat.state == SeatState::Ready));

    // The server is killed and starts again: the same agents are found.
    let agent = stage.agent_pid(&id);
    stage.kill().await;
    stage.start();
    stage.wake.workshop(&id);

    // An agent dies: it is started again and adopts what runs.
    let killed = std::process::Command::new("kill")
        .args(["-9", &agent])
        .status()
        .unwrap();
    assert!(killed.success(), "the agent outlived the server");
    stage
        .until(&id, "agent replaced", |_| stage.agent_pid(&id) != agent)
        .await;
    let back = stage.until_phase(&id, Phase::Running).await;
    assert!(
        back.seats.iter().all(|seat| seat.restarts == 0),
        "seats were adopted"
    );

    // A seat is reset: a fresh machine, epoch and all.
    let now = Utc::now();
    let seat = view.seats[0].seat;
    let reset = stage
        .store
        .upheave("test", &id, seat, Upheaval::Reset, &no_key(), now)
        .await;
    reset.unwrap().unwrap();
    stage.wake.workshop(&id);
    stage
        .until(&id, "seat fresh", |view| {
            view.seats[0].state == SeatState::Ready
        })
        .await;

    // Seats down removes the second worker with them.
    stage.change(&id, seats(1)).await;
    let fewer = |view: &WorkshopView| view.seats.len() == 1 && view.workers.len() == 1;
    stage.until(&id, "fewer seats", fewer).await;
    assert!(!stage.worker_dir(&id, 2).exists());

    // Killed in the middle of deleting, it goes on.
    stage.delete(&id).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    stage.kill().await;
    stage.start();
    stage.until_phase(&id, Phase::Deleted).await;
    assert_eq!(
        std::fs::read_dir(stage.dir.path().join("workers"))
            .unwrap()
            .count(),
        0
    );
    let runs = stage.store.open_runs().await.unwrap();
    assert_eq!(runs, 0, "no interval is left open");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn learners_are_cut_off_while_the_loop_waits_for_something_else() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let id = stage.create(1).await;
    let view = stage.until_phase(&id, Phase::Running).await;
    let seat = view.seats[0].seat;
    stage.stuck.store(true, Ordering::SeqCst);
    stage.wake.workshop(&id);
    let kept = stage.worker_dir(&id, 1).join("run/seats/1/epoch");
    let epoch = || std::fs::read_to_string(&kept).unwrap_or_default();
    let before = epoch();
    let (key, now) = (no_key(), Utc::now());
    let reset = stage
        .store
        .upheave("test", &id, seat, Upheaval::Reset, &key, now);
    reset.await.unwrap().unwrap();
    stage.wake.workshop(&id);
    stage
        .until(&id, "epoch in force", |_| epoch() > before)
        .await;

    stage.delete(&id).await;
    let seats = stage.worker_dir(&id, 1).join("run/seats/1");
    stage.until(&id, "seat gone", |_| !seats.exists()).await;
    stage.stuck.store(false, Ordering::SeqCst);
    stage.until_phase(&id, Phase::Deleted).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_agent_that_came_after_a_notice_was_due_is_told_it_all_the_same() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let id = stage.create_for(1, TimeDelta::minutes(9)).await;
    stage.until_phase(&id, Phase::Running).await;
    let began = Instant::now();
    loop {
        let workers = stage.store.settling(&id).await.unwrap().unwrap().workers;
        if workers[&Ordinal::MIN].told.starts_with("10 ") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "not told");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    stage.delete(&id).await;
    stage.until_phase(&id, Phase::Deleted).await;
}

#[tokio::test]
async fn a_count_that_no_column_holds_leaves_the_workshop_readable() {
    let Some(mut stage) = Stage::new().await else {
        return;
    };
    stage.kill().await;
    let id = stage.create(1).await;
    let before = stage.store.settling(&id).await.unwrap().unwrap();
    let mut seats = before.seats.clone();
    seats[0].terminals = u32::MAX;
    seats[0].restarts = u32::MAX;
    seats[0].queue_position = u32::MAX;
    let settled = Settled {
        phase: before.want.phase,
        reason: String::new(),
        seats,
        workers: vec![],
    };
    let saved = stage.store.save_settled(&before, &settled, Utc::now());
    assert!(saved.await.unwrap());
    let after = stage.store.settling(&id).await.unwrap().unwrap();
    assert_eq!(after.seats[0].terminals, i32::MAX.unsigned_abs());
    stage.store.workshop_view(&id).await.unwrap().unwrap();
    stage.delete(&id).await;
}

#[tokio::test]
async fn tries_that_fail_for_ever_leave_ten_rows_for_each_verb() {
    let Some(mut stage) = Stage::new().await else {
        return;
    };
    stage.kill().await;
    let id = stage.create(1).await;
    let now = Utc::now();
    for verb in ["seats.create", "epochs"] {
        for n in 0..25 {
            let at = now + TimeDelta::seconds(n);
            let attempt = stage.store.begin_attempt(&id, Ordinal::MIN, verb, at).await;
            let ended = stage
                .store
                .end_attempt(attempt.unwrap(), (Some("no"), false), at);
            ended.await.unwrap();
        }
    }
    let rows = stage.store.settling(&id).await.unwrap().unwrap().attempts;
    assert_eq!(rows.len(), 20);
    let last = rows.iter().map(|(.., row)| row.started_at).max();
    assert!(last > Some(now + TimeDelta::seconds(23)), "the newest");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_at_half_life_and_survives_a_control_plane_that_was_away() {
    let life = Duration::from_secs(20);
    let Some(mut stage) = Stage::with_leaf_life(life).await else {
        return;
    };
    let id = stage.create(1).await;
    stage.until_phase(&id, Phase::Running).await;
    let agent = stage.agent_pid(&id);

    // At half life, over the connection that stands, and not before.
    let renewals = |stage: &Stage| stage.agent_log(&id).matches("certificate renewed").count();
    let (before, (_, first_ends)) = (renewals(&stage), stage.certificate(&id));
    stage
        .until(&id, "certificate renewed", |_| {
            stage.wake.workshop(&id);
            renewals(&stage) > before
        })
        .await;
    let (_, second_ends) = stage.certificate(&id);
    // Ends are cut to whole seconds.
    assert!(second_ends - first_ends >= TimeDelta::seconds(9));

    // Away until the last one is over: no connection can be made with it.
    stage.kill().await;
    let (last, ends) = stage.certificate(&id);
    while Utc::now() <= ends + TimeDelta::seconds(1) {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(stage.certificate(&id).0, last, "nobody signs meanwhile");
    stage.start();
    stage.wake.workshop(&id);
    stage
        .until(&id, "certificate taken up", |_| {
            stage.certificate(&id).1 > ends
        })
        .await;

    // The agent that serves is the same, and does what it is told.
    stage.change(&id, seats(2)).await;
    let two = |view: &WorkshopView| {
        view.seats.len() == 2 && view.seats.iter().all(|seat| seat.state == SeatState::Ready)
    };
    let view = stage.until(&id, "a second seat", two).await;
    assert_eq!(stage.agent_pid(&id), agent, "without a restart");
    assert!(view.seats.iter().all(|seat| seat.restarts == 0));
    stage.delete(&id).await;
    stage.until_phase(&id, Phase::Deleted).await;
}
