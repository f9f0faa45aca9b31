//! How a VM stands, and who ended it.

use clarateach_domain::{
    ending::{Ending, ending},
    enrolment::Vm,
    ids::WorkerName,
    plan::Ground,
};

use super::{
    Gcp, Outcome, UNCERTAIN, history, machine,
    note::{Note, Verb},
};
use crate::provisioner::Described;

impl Gcp {
    pub(super) async fn try_describe(&self, name: &WorkerName) -> anyhow::Result<Described> {
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
    pub(super) async fn ending(
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
    pub(super) async fn without_vm(
        &self,
        name: &WorkerName,
        note: &Note,
    ) -> anyhow::Result<Ground> {
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
}
