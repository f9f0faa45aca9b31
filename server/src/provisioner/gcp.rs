//! A worker as a VM at Google's: asked for, looked at, stopped, started, removed.
//!
//! Way: [`WorkerSpec`] -> a note in the worker's row (zone, request) -> the
//! request -> the operation's name in the note. Whatever happens in between, the
//! next look finds from the note what came of it: nothing is asked for twice and
//! nothing is forgotten.

use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use clarateach_domain::{
    ending::{Ending, ending},
    enrolment::Vm,
    ids::WorkerName,
    microvm::Runtime,
    plan::Ground,
};
use google_cloud_compute_v1::model::Operation;
use tracing::{info, warn};

use super::{Described, Listed, Notes, ProvisionError, Provisioner, Remainder, WorkerSpec};
use crate::crash::CrashAt;

mod cloud;
mod firewall;
mod history;
mod lists;
mod machine;
mod note;
mod remainders;
pub mod settings;
mod survey;
mod trouble;
mod vouch;

use cloud::{Cloud, Standing};
use machine::Terms;
use note::{Act, Note, Verb};
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

    fn age(&self, act: &Act) -> TimeDelta {
        (self.clock)() - act.since
    }

    async fn note(&self, name: &WorkerName) -> anyhow::Result<Option<Note>> {
        let text = self.notes.read(name).await?;
        let read = text.filter(|text| !text.is_empty());
        read.map(|text| serde_json::from_str(&text).context("the worker's note cannot be read"))
            .transpose()
    }

    async fn write(&self, name: &WorkerName, note: &Note) -> anyhow::Result<()> {
        self.notes.write(name, &serde_json::to_string(note)?).await
    }

    /// The note of what is asked for next, written before it is.
    async fn begin(&self, name: &WorkerName, note: &mut Note, verb: Verb) -> anyhow::Result<Act> {
        // A creation that is asked for again is as old as the first time.
        let again = note.doing(Verb::Insert).filter(|_| verb == Verb::Insert);
        let act = Act {
            verb,
            since: again.map_or_else(|| (self.clock)(), |act| act.since),
            operation: String::new(),
        };
        note.take(name, act.clone());
        self.write(name, note).await?;
        self.crash.pass(verb.word(), "noted");
        Ok(act)
    }

    async fn begun(
        &self,
        name: &WorkerName,
        note: &mut Note,
        operation: &Operation,
    ) -> anyhow::Result<()> {
        if let Some(act) = &mut note.act {
            self.crash.pass(act.verb.word(), "asked");
            act.operation = operation.name.clone().unwrap_or_default();
        }
        self.write(name, note).await
    }

    async fn outcome(&self, name: &WorkerName, note: &Note, act: &Act) -> anyhow::Result<Outcome> {
        let standing = if act.operation.is_empty() {
            let id = note.request_id(name, act);
            match self.cloud.begun(&note.zone, &id).await? {
                Some(operation) => cloud::standing(&operation),
                None => Standing::Forgotten,
            }
        } else {
            self.cloud.operation(&note.zone, &act.operation).await?
        };
        Ok(match standing {
            Standing::Running if self.age(act) > PATIENCE => Outcome::Unknown,
            Standing::Running => Outcome::Running,
            Standing::Done => Outcome::Done,
            Standing::Failed(trouble) => Outcome::Failed(trouble),
            Standing::Forgotten => Outcome::Unknown,
        })
    }

    async fn try_ensure(&self, worker: &WorkerSpec) -> anyhow::Result<()> {
        let name = &worker.name;
        let mut note = match self.note(name).await? {
            Some(note) => note,
            None => Note::first(&self.settings.zones[0]),
        };
        if let Some(act) = note.doing(Verb::Insert).cloned() {
            match self.outcome(name, &note, &act).await? {
                Outcome::Running => return Ok(()),
                Outcome::Failed(trouble) => self.after_refusal(name, &mut note, trouble).await?,
                // The same again: Google does it once.
                Outcome::Unknown if self.age(&act) < UNCERTAIN => {}
                Outcome::Done | Outcome::Unknown => note.anew(),
            }
        } else if let Some(act) = note.act.as_ref() {
            let (zone, verb) = (&note.zone, act.verb);
            let there = self.cloud.get(zone, name.as_str()).await?;
            if there.is_some_and(|vm| machine::ground(&vm) == Ground::Stopping) {
                // What was asked for is stuck at Google, or was forgotten there.
                return match verb {
                    Verb::Delete => self.remove(name, note).await,
                    Verb::Insert | Verb::Start | Verb::Stop => self.try_stop(name).await,
                };
            }
            // Removed, or taken away: learners' files went with its disk.
            if note.start_refusals >= START_REFUSALS {
                note.elsewhere(&self.settings.zones, &[]);
            } else {
                note.anew();
            }
        }
        self.insert(worker, note).await
    }

    /// A creation that Google refused after it had begun.
    async fn after_refusal(
        &self,
        name: &WorkerName,
        note: &mut Note,
        trouble: Trouble,
    ) -> anyhow::Result<()> {
        warn!(worker = %name, zone = note.zone, %trouble, "VM was refused");
        match trouble.class {
            Class::NextZone => note.elsewhere(&self.settings.zones, &trouble.zones),
            Class::Retry | Class::Gone | Class::Exists => note.anew(),
            Class::Permanent(_) if note.gives_notice_up(&self.settings, true, &trouble) => {}
            Class::Permanent(_) => {
                note.anew();
                self.write(name, note).await?;
                return Err(trouble.into());
            }
        }
        Ok(())
    }

    async fn insert(&self, worker: &WorkerSpec, mut note: Note) -> anyhow::Result<()> {
        let (name, settings) = (&worker.name, &self.settings);
        let full_price = settings.on_demand_after > 0 && note.refusals >= settings.on_demand_after;
        let spot = settings.spot && !full_price;
        let terms = Terms {
            spot,
            notice: !note.no_notice,
        };
        let vm = machine::wanted(worker, settings, &note.zone, terms);
        let act = self.begin(name, &mut note, Verb::Insert).await?;
        let id = note.request_id(name, &act);
        match self.cloud.insert(&note.zone, &id, vm).await {
            Ok(operation) => {
                info!(worker = %name, zone = note.zone, spot, "VM asked for");
                self.begun(name, &mut note, &operation).await
            }
            Err(trouble) if trouble.class == Class::Exists => self.taken(name, note).await,
            Err(trouble) if note.gives_notice_up(settings, spot, &trouble) => {
                warn!(worker = %name, %trouble, "VM is asked for without time before its end");
                self.write(name, &note).await?;
                Box::pin(self.insert(worker, note)).await
            }
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// The name is taken: by the worker itself, by a stranger, or by a creation of
    /// ours that goes on and on and is not to be seen.
    async fn taken(&self, name: &WorkerName, mut note: Note) -> anyhow::Result<()> {
        if let Some(vm) = self.cloud.get(&note.zone, name.as_str()).await? {
            let owner = machine::worker(&vm, &self.settings.installation);
            anyhow::ensure!(
                owner.as_ref() == Some(name),
                "a VM called {name} that is none of this installation's is in {}",
                note.zone
            );
            note.blocked = None;
            return self.write(name, &note).await;
        }
        let now = (self.clock)();
        let zone = note.zone.clone();
        if now - *note.blocked.get_or_insert(now) > PATIENCE {
            warn!(worker = %name, zone, "VM never came to be: another zone is tried");
            note.elsewhere(&self.settings.zones, &[]);
        }
        self.write(name, &note).await?;
        Err(anyhow!(
            "a VM that was asked for in {zone} is neither there nor given up"
        ))
    }

    async fn try_describe(&self, name: &WorkerName) -> anyhow::Result<Described> {
        let Some(note) = self.note(name).await? else {
            return Ok(Described::missing(""));
        };
        let mut described = Described::missing(&note.zone);
        let Some(vm) = self.cloud.get(&note.zone, name.as_str()).await? else {
            described.ground = self.without_vm(name, &note).await?;
            if described.ground == Ground::Missing {
                described.ending = self.ending(name, &note, None).await?;
            }
            return Ok(described);
        };
        let ours = machine::worker(&vm, &self.settings.installation);
        anyhow::ensure!(
            ours.as_ref() == Some(name),
            "the VM {name} in {} is none of this installation's",
            note.zone
        );
        described.ground = match (machine::ground(&vm), &note.act) {
            (ground, Some(act)) if act.verb == Verb::Delete => {
                match self.outcome(name, &note, act).await? {
                    Outcome::Running => Ground::Ending,
                    // Stuck: whoever wants it has to ask again.
                    Outcome::Unknown if ground == Ground::Stopping => Ground::Broken,
                    Outcome::Done | Outcome::Failed(_) | Outcome::Unknown => ground,
                }
            }
            (Ground::Stopping, Some(act)) if act.verb == Verb::Stop => {
                match self.outcome(name, &note, act).await? {
                    Outcome::Unknown => Ground::Broken,
                    Outcome::Running | Outcome::Done | Outcome::Failed(_) => Ground::Stopping,
                }
            }
            (Ground::Stopped, Some(act)) if act.verb == Verb::Start => {
                match self.outcome(name, &note, act).await? {
                    Outcome::Running => Ground::Making,
                    Outcome::Done | Outcome::Failed(_) | Outcome::Unknown => Ground::Stopped,
                }
            }
            (Ground::Up, Some(act)) if act.verb == Verb::Stop => {
                match self.outcome(name, &note, act).await? {
                    Outcome::Running => Ground::Stopping,
                    Outcome::Done | Outcome::Failed(_) | Outcome::Unknown => Ground::Up,
                }
            }
            (ground, _) => ground,
        };
        if matches!(described.ground, Ground::Stopping | Ground::Stopped) {
            described.ending = self.ending(name, &note, vm.id).await?;
        }
        described.address = machine::address(&vm);
        described.also.extend(machine::inner_address(&vm));
        described.vm = vm.id.map(|id| Vm {
            instance_id: id.to_string(),
            project: self.settings.project.clone(),
            zone: note.zone.clone(),
        });
        Ok(described)
    }

    /// Why a VM is down, or gone, that nobody here asked to be. Looked for only then.
    async fn ending(
        &self,
        name: &WorkerName,
        note: &Note,
        id: Option<u64>,
    ) -> anyhow::Result<Option<Ending>> {
        let asked = match &note.act {
            None => true, // nothing was made since
            Some(act) if id.is_none() => act.verb == Verb::Delete,
            Some(act) => matches!(act.verb, Verb::Stop | Verb::Delete),
        };
        if asked {
            return Ok(None);
        }
        let operations = self.cloud.history(&note.zone, name.as_str()).await?;
        Ok(ending(&history::happened(&operations, &note.ours, id)))
    }

    /// There is no VM: not yet, not any more, or nobody can say.
    async fn without_vm(&self, name: &WorkerName, note: &Note) -> anyhow::Result<Ground> {
        let Some(act) = &note.act else {
            return Ok(Ground::Missing);
        };
        let outcome = self.outcome(name, note, act).await?;
        Ok(match (act.verb, outcome) {
            (Verb::Insert, Outcome::Running) => Ground::Making,
            // It may still come: asking again is harmless, and so is removing.
            (Verb::Insert, Outcome::Unknown) if self.age(act) < UNCERTAIN => Ground::Broken,
            (Verb::Delete, Outcome::Running) => Ground::Ending,
            _ => Ground::Missing,
        })
    }

    async fn try_stop(&self, name: &WorkerName) -> anyhow::Result<()> {
        let Some(mut note) = self.note(name).await? else {
            return Ok(());
        };
        let act = self.begin(name, &mut note, Verb::Stop).await?;
        let id = note.request_id(name, &act);
        match self.cloud.stop(&note.zone, name.as_str(), &id).await {
            Ok(operation) => self.begun(name, &mut note, &operation).await,
            Err(trouble) if trouble.class == Class::Gone => Ok(()),
            Err(trouble) => Err(trouble.into()),
        }
    }

    async fn try_start(&self, worker: &WorkerSpec) -> anyhow::Result<()> {
        let name = &worker.name;
        let Some(mut note) = self.note(name).await? else {
            return self.try_ensure(worker).await;
        };
        if let Some(act) = note.doing(Verb::Start).cloned()
            && let Outcome::Failed(trouble) = self.outcome(name, &note, &act).await?
        {
            match trouble.class {
                Class::NextZone => {
                    note.start_refusals += 1;
                    if note.start_refusals >= START_REFUSALS {
                        warn!(worker = %name, zone = note.zone, "no room to start the VM again: another is made elsewhere");
                        return self.remove(name, note).await;
                    }
                }
                Class::Permanent(_) => {
                    note.act = None;
                    self.write(name, &note).await?;
                    return Err(trouble.into());
                }
                Class::Retry | Class::Gone | Class::Exists => {}
            }
        }
        let there = self.cloud.get(&note.zone, name.as_str()).await?;
        let suspended = there.is_some_and(|vm| machine::is_suspended(&vm));
        let act = self.begin(name, &mut note, Verb::Start).await?;
        let (zone, id) = (&note.zone, note.request_id(name, &act));
        let asked = if suspended {
            self.cloud.resume(zone, name.as_str(), &id).await
        } else {
            self.cloud.start(zone, name.as_str(), &id).await
        };
        match asked {
            Ok(operation) => self.begun(name, &mut note, &operation).await,
            Err(trouble) => Err(trouble.into()),
        }
    }

    /// A VM of this installation that no row knows any more, wherever it is. Harmless
    /// when repeated: Google removes a VM once.
    async fn remove_unknown(&self, name: &WorkerName) -> anyhow::Result<()> {
        let installation = &self.settings.installation;
        for vm in self.cloud.all().await? {
            if machine::worker(&vm, installation).as_ref() != Some(name) {
                continue;
            }
            let zone = vm.zone.as_deref().and_then(|link| link.rsplit('/').next());
            let zone = zone.context("Google does not say in which zone it is")?;
            warn!(worker = %name, zone, "VM that no row knows is removed");
            let act = Act {
                verb: Verb::Delete,
                since: (self.clock)(),
                operation: String::new(),
            };
            let id = Note::first(zone).request_id(name, &act);
            self.cloud.delete(zone, name.as_str(), &id).await?;
        }
        Ok(())
    }

    async fn try_delete(&self, name: &WorkerName) -> anyhow::Result<()> {
        let Some(note) = self.note(name).await? else {
            return self.remove_unknown(name).await;
        };
        if let Some(act) = note.doing(Verb::Delete)
            && matches!(self.outcome(name, &note, act).await?, Outcome::Running)
        {
            return Ok(());
        }
        self.remove(name, note).await
    }

    /// Removes what is there. What may still come is waited for first: gone must
    /// mean gone.
    async fn remove(&self, name: &WorkerName, mut note: Note) -> anyhow::Result<()> {
        let there = self.cloud.get(&note.zone, name.as_str()).await?;
        if there.is_none()
            && let Some(act) = note.doing(Verb::Insert)
        {
            match self.outcome(name, &note, act).await? {
                Outcome::Running => anyhow::bail!("it is still being made"),
                Outcome::Unknown if act.operation.is_empty() && self.age(act) < UNCERTAIN => {
                    anyhow::bail!("Google may still be making it");
                }
                _ => {}
            }
        }
        let act = self.begin(name, &mut note, Verb::Delete).await?;
        let id = note.request_id(name, &act);
        let asked = self.cloud.delete(&note.zone, name.as_str(), &id).await?;
        let Some(operation) = asked else {
            note.anew();
            return self.write(name, &note).await;
        };
        self.begun(name, &mut note, &operation).await
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
