//! The provisioner for Google's cloud, before a strict fake of it: what it makes,
//! what it loses and finds again, and what it leaves.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop"
)]

mod beside;
mod endings;
mod life;
mod refusals;
mod storms;
mod survey;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use clarateach_domain::{ids::WorkerName, microvm::Runtime, plan::Ground};
use clarateach_e2e::fake_gce::{
    Config, FakeGce,
    oracle::{Wanted, check},
};
use clarateach_server::provisioner::{
    Described, Notes, Provisioner as _, WorkerSpec,
    gcp::{Gcp, GcpArgs, GcpSettings},
};
use rand::{Rng as _, rngs::StdRng};

/// Notes that outlive the provisioner, as rows do; and by these chances the process dies
/// over one of them.
#[derive(Default)]
struct Rows(Mutex<BTreeMap<WorkerName, String>>, Mutex<Option<StdRng>>);

impl Rows {
    /// From now on the process dies over one write in ten: before it, or right after.
    fn die(&self, by: Option<StdRng>) {
        *self.1.lock().unwrap() = by;
    }
}

#[async_trait]
impl Notes for Rows {
    async fn read(&self, worker: &WorkerName) -> anyhow::Result<Option<String>> {
        Ok(self.0.lock().unwrap().get(worker).cloned())
    }

    async fn write(&self, worker: &WorkerName, text: &str) -> anyhow::Result<()> {
        let mut chance = self.1.lock().unwrap();
        let drawn = chance.as_mut().map(|chance| chance.random_range(0..20));
        anyhow::ensure!(drawn != Some(0), "dead before it was noted");
        let mut rows = self.0.lock().unwrap();
        rows.insert(worker.clone(), text.to_owned());
        anyhow::ensure!(drawn != Some(1), "dead as soon as it was noted");
        Ok(())
    }
}

/// A fake, the rows, and a provisioner between them that can be killed.
struct Stage {
    fake: Arc<FakeGce>,
    rows: Arc<Rows>,
    gcp: Gcp,
}

impl Stage {
    async fn new() -> Self {
        Self::with(Config::default()).await
    }

    async fn with(config: Config) -> Self {
        let _first = rustls::crypto::ring::default_provider().install_default();
        let fake = Arc::new(FakeGce::start(config).await);
        let rows = Arc::new(Rows::default());
        let gcp = open(&fake, &rows).await;
        Self { fake, rows, gcp }
    }

    /// The process ends and another begins: only the rows are left.
    async fn restart(&mut self) {
        self.gcp = open(&self.fake, &self.rows).await;
    }

    async fn look(&self, worker: &WorkerSpec) -> Described {
        self.gcp.describe(&worker.name).await.unwrap()
    }

    /// Looks, in virtual time, until the machine is in this state.
    async fn until(&self, worker: &WorkerSpec, wanted: Ground) -> Described {
        // A spot VM has two minutes after its notice.
        for _ in 0..240 {
            let seen = self.look(worker).await;
            if seen.ground == wanted {
                return seen;
            }
            self.fake.advance(Duration::from_secs(1));
        }
        panic!(
            "{} never was {wanted:?}: {:?}",
            worker.name,
            self.look(worker).await
        );
    }

    /// Nothing is there, and nothing was that should not have been.
    async fn assert_nothing_left(&self) {
        self.assert_left(&[]).await;
    }

    async fn assert_left(&self, running: &[&WorkerSpec]) {
        self.fake.quiet().await;
        let wanted = Wanted {
            running: running
                .iter()
                .map(|worker| worker.name.to_string())
                .collect(),
            labels: ["app", "installation", "worker"].map(str::to_owned).into(),
            worker_label: Some("worker".to_owned()),
            ..Wanted::default()
        };
        assert_eq!(check(&self.fake.ledger(), &wanted), Ok(()));
    }
}

async fn open(fake: &Arc<FakeGce>, rows: &Arc<Rows>) -> Gcp {
    let args = GcpArgs {
        project: Some("clarateach-test".to_owned()),
        zones: ["us-central1-a", "us-central1-b", "us-east1-b"]
            .map(str::to_owned)
            .to_vec(),
        machine_type: "n2-standard-8".to_owned(),
        min_cpu_platform: "Intel Cascade Lake".to_owned(),
        snapshot: "clara2-snapshot".to_owned(),
        disk_gb: 50,
        network: "clarateach".to_owned(),
        service_account: Some("worker@clarateach-test.iam.gserviceaccount.com".to_owned()),
        spot: true,
        preemption_notice: 120,
        endpoint: Some(fake.url()),
        ..GcpArgs::default()
    };
    let settings = GcpSettings::checked(&args, Duration::from_hours(24), "one".to_owned());
    let gcp = Gcp::open(settings.unwrap(), rows.clone()).await.unwrap();
    let (fake, epoch) = (fake.clone(), DateTime::<Utc>::UNIX_EPOCH);
    gcp.with_clock(Arc::new(move || epoch + fake.now()))
}

fn worker(number: u32) -> WorkerSpec {
    let workshop = "ws-0123456789";
    WorkerSpec {
        name: format!("{workshop}-w{number}").parse().unwrap(),
        workshop: workshop.parse().unwrap(),
        runtime: Runtime::Firecracker,
        ca_certificate: "CA".to_owned(),
        seat_key: "KEY".to_owned(),
    }
}
