//! What is asked of Google one at a time, written down before and after.

use anyhow::Context as _;
use chrono::TimeDelta;
use clarateach_domain::ids::WorkerName;
use google_cloud_compute_v1::model::Operation;

use super::{
    Gcp, Outcome, PATIENCE,
    cloud::{self, Standing},
    note::{Act, Note, Verb},
};

impl Gcp {
    pub(super) fn age(&self, act: &Act) -> TimeDelta {
        (self.clock)() - act.since
    }

    pub(super) async fn note(&self, name: &WorkerName) -> anyhow::Result<Option<Note>> {
        let text = self.notes.read(name).await?;
        let read = text.filter(|text| !text.is_empty());
        read.map(|text| serde_json::from_str(&text).context("the worker's note cannot be read"))
            .transpose()
    }

    pub(super) async fn write(&self, name: &WorkerName, note: &Note) -> anyhow::Result<()> {
        self.notes.write(name, &serde_json::to_string(note)?).await
    }

    /// The note of what is asked for next, written before it is.
    pub(super) async fn begin(
        &self,
        name: &WorkerName,
        note: &mut Note,
        verb: Verb,
    ) -> anyhow::Result<Act> {
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

    pub(super) async fn begun(
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

    pub(super) async fn outcome(
        &self,
        name: &WorkerName,
        note: &Note,
        act: &Act,
    ) -> anyhow::Result<Outcome> {
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
}
