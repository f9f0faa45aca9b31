//! A worker as a VM at Google's: asked for, looked at, stopped, started, removed.
//!
//! Way: [`WorkerSpec`] -> a note in the worker's row (zone, request) -> the
//! request -> the operation's name in the note. Whatever happens in between, the
//! next look finds from the note what came of it: nothing is asked for twice and
//! nothing is forgotten.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use clarateach_domain::{enrolment::Vm, ids::WorkerName, microvm::Runtime};
use tracing::{info, warn};

use super::{Described, Listed, Notes, ProvisionError, Provisioner, Remainder, WorkerSpec};
use crate::crash::CrashAt;

mod acts;
mod cloud;
mod creation;
mod firewall;
mod history;
mod lists;
mod look;
mod machine;
mod note;
mod remainders;
mod removal;
pub mod settings;
mod survey;
mod trouble;
mod vouch;

use cloud::Cloud;
pub use settings::{GcpArgs, GcpSettings};
pub use survey::Line;
use trouble::{Class, Trouble};

/// So long after a request whose answer was lost, its operation may still appear.
const UNCERTAIN: TimeDelta = TimeDelta::seconds(60);
/// An operation that goes on for longer is not waited for any more: what it was to
/// do is asked for again.
const PATIENCE: TimeDelta = TimeDelta::minutes(10);
/// Starts refused for want of room after which a worker is made elsewhere.
const START_REFUSALS: u32 = 3;

/// The provisioner. Keeps nothing that is not in the database.
pub struct Gcp {
    settings: GcpSettings,
    cloud: Cloud,
    notes: Arc<dyn Notes>,
    clock: Clock,
    crash: CrashAt,
}

/// What time it is: tests live faster.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// What became of an act.
enum Outcome {
    Running,
    Done,
    Failed(Trouble),
    /// Google does not know of it (never asked, or it has forgotten), or it takes
    /// far too long.
    Unknown,
}

impl Gcp {
    /// With the application's default credentials.
    ///
    /// # Errors
    ///
    /// When there are none.
    pub async fn open(settings: GcpSettings, notes: Arc<dyn Notes>) -> anyhow::Result<Self> {
        let cloud = Cloud::open(&settings).await?;
        Ok(Self {
            settings,
            cloud,
            notes,
            clock: Arc::new(Utc::now),
            crash: CrashAt::default(),
        })
    }

    /// Where a test kills the server, if it does.
    #[must_use]
    pub fn with_crash(mut self, crash: CrashAt) -> Self {
        self.crash = crash;
        self
    }

    /// With another clock.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Makes sure of the firewall rule, as far as this server may: who is not let in
    /// by it is told in the log.
    pub async fn open_the_way(&self) {
        let name = firewall::NAME;
        match self.cloud.firewall(name).await {
            Ok(Some(rule)) => {
                if let Some(why) = firewall::fault(&rule, &self.settings) {
                    warn!(
                        rule = name,
                        why, "firewall rule does not let anybody to agents"
                    );
                }
            }
            Ok(None) => match self
                .cloud
                .make_firewall(firewall::wanted(&self.settings))
                .await
            {
                Ok(()) => info!(rule = name, "firewall rule made"),
                Err(cause) => warn!(rule = name, error = %cause, "firewall rule could not be made"),
            },
            Err(cause) => warn!(rule = name, error = %cause, "firewall could not be looked at"),
        }
    }

    /// The end of what the worker's VM wrote to its serial port, for whoever must
    /// find out why its agent never answered; empty if there is no VM.
    ///
    /// # Errors
    ///
    /// When Google cannot be asked.
    pub async fn serial_log(&self, name: &WorkerName) -> anyhow::Result<String> {
        let Some(note) = self.note(name).await? else {
            return Ok(String::new());
        };
        Ok(self.cloud.serial(&note.zone, name.as_str()).await?)
    }
}

/// In words that follow "could not".
fn failed(act: String) -> impl FnOnce(anyhow::Error) -> ProvisionError {
    move |cause| {
        let permanent = cause
            .downcast_ref::<Trouble>()
            .is_some_and(|trouble| matches!(trouble.class, Class::Permanent(_)));
        ProvisionError::new(act, cause).permanent(permanent)
    }
}

#[async_trait]
impl Provisioner for Gcp {
    fn runtimes(&self) -> Vec<Runtime> {
        let mut all = vec![Runtime::Firecracker];
        // Google's VMs are for MicroVMs; behind a test's fake of it there are none.
        if self.settings.endpoint.is_some() {
            all.push(Runtime::Container);
        }
        all
    }

    async fn ensure(&self, worker: &WorkerSpec) -> Result<(), ProvisionError> {
        let made = self.try_ensure(worker).await;
        made.map_err(failed(format!("make the VM {}", worker.name)))
    }

    async fn describe(&self, name: &WorkerName) -> Result<Described, ProvisionError> {
        let seen = self.try_describe(name).await;
        seen.map_err(failed(format!("look at the VM {name}")))
    }

    async fn vouched(&self, audience: &str, token: &str) -> Result<Option<Vm>, ProvisionError> {
        let vm = vouch::vm(&self.settings, audience, token).await;
        vm.map_err(|cause| ProvisionError::new("check who the worker is", cause))
    }

    async fn evidence(&self, name: &WorkerName) -> Result<String, ProvisionError> {
        let log = self.serial_log(name).await;
        log.map_err(|cause| ProvisionError::new("read the VM's serial console", cause))
    }

    async fn list(&self) -> Result<Vec<Listed>, ProvisionError> {
        let all = self.cloud.all().await;
        let all = all.map_err(failed("list the VMs".to_owned()))?;
        let installation = &self.settings.installation;
        Ok(all
            .iter()
            .filter_map(|vm| machine::listed(vm, installation))
            .collect())
    }

    async fn remainders(&self) -> Result<Vec<Remainder>, ProvisionError> {
        let disks = self.cloud.all_disks().await;
        let disks = disks.map_err(failed("list the disks".to_owned()))?;
        let addresses = self.cloud.all_addresses().await;
        let addresses = addresses.map_err(failed("list the addresses".to_owned()))?;
        let disks = disks.into_iter().filter_map(remainders::of_disk);
        let addresses = addresses.into_iter().filter_map(remainders::of_address);
        Ok(disks.chain(addresses).collect())
    }

    async fn clear(&self, what: &Remainder) -> Result<(), ProvisionError> {
        let cleared = match what.what {
            remainders::DISK => self.cloud.delete_disk(&what.place, what.id).await,
            _ => self.cloud.delete_address(&what.place, what.id).await,
        };
        let cleared = cleared.map_err(anyhow::Error::from);
        cleared.map_err(failed(format!("remove the {what}")))
    }

    async fn stop(&self, name: &WorkerName) -> Result<(), ProvisionError> {
        let stopped = self.try_stop(name).await;
        stopped.map_err(failed(format!("stop the VM {name}")))
    }

    async fn start(&self, worker: &WorkerSpec) -> Result<(), ProvisionError> {
        let started = self.try_start(worker).await;
        started.map_err(failed(format!("start the VM {}", worker.name)))
    }

    async fn delete(&self, name: &WorkerName) -> Result<(), ProvisionError> {
        let removed = self.try_delete(name).await;
        removed.map_err(failed(format!("remove the VM {name}")))
    }
}
