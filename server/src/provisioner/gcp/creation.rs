//! A VM is made, or started again, or made elsewhere.

use anyhow::anyhow;
use clarateach_domain::{ids::WorkerName, plan::Ground};
use tracing::{info, warn};

use super::{
    Gcp, Outcome, PATIENCE, START_REFUSALS, UNCERTAIN,
    machine::{self, Terms},
    note::{Note, Verb},
    trouble::{Class, Trouble},
};
use crate::provisioner::WorkerSpec;

impl Gcp {
    pub(super) async fn try_ensure(&self, worker: &WorkerSpec) -> anyhow::Result<()> {
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
    pub(super) async fn after_refusal(
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

    pub(super) async fn insert(&self, worker: &WorkerSpec, mut note: Note) -> anyhow::Result<()> {
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
    pub(super) async fn taken(&self, name: &WorkerName, mut note: Note) -> anyhow::Result<()> {
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

    pub(super) async fn try_start(&self, worker: &WorkerSpec) -> anyhow::Result<()> {
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
}
