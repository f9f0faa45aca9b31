//! A VM is stopped, or removed for good.

use anyhow::Context as _;
use clarateach_domain::ids::WorkerName;
use tracing::warn;

use super::{
    Gcp, Outcome, UNCERTAIN, machine,
    note::{Act, Note, Verb},
    trouble::Class,
};

impl Gcp {
    pub(super) async fn try_stop(&self, name: &WorkerName) -> anyhow::Result<()> {
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

    /// A VM of this installation that no row knows any more, wherever it is. Harmless
    /// when repeated: Google removes a VM once.
    pub(super) async fn remove_unknown(&self, name: &WorkerName) -> anyhow::Result<()> {
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

    pub(super) async fn try_delete(&self, name: &WorkerName) -> anyhow::Result<()> {
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
    pub(super) async fn remove(&self, name: &WorkerName, mut note: Note) -> anyhow::Result<()> {
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
