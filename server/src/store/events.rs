//! The append-only record: what happened, written with what it tells of.
//!
//! Way: a change in a transaction -> [`record`] -> the workshop's next revision
//! and an event that carries it.

use chrono::{DateTime, Utc};
use clarateach_domain::ids::WorkshopId;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};

use super::{
    Store, StoreError,
    entity::{event, workshop},
    postgres,
};

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Who did it: a principal, a stay, a worker by its name, or `reconciler`.
    pub actor: &'a str,
    /// What was done, such as `seat.claimed`.
    pub verb: &'a str,
    /// To what, such as `seat/3`; empty for the workshop itself.
    pub object: &'a str,
    /// Why, for people.
    pub reason: &'a str,
    /// What else belongs to it, as JSON; empty for nothing. Never a secret.
    pub data: &'a str,
}

/// Writes `event` and gives the workshop its next revision, which is returned.
/// The workshop's row is locked from here to the end of the transaction, so
/// that revisions become visible in order on every database.
pub async fn record(
    txn: &DatabaseTransaction,
    workshop: &WorkshopId,
    event: Event<'_>,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let rows = workshop::Entity::update_many()
        .col_expr(
            workshop::Column::Revision,
            Expr::col(workshop::Column::Revision).add(1),
        )
        .filter(workshop::Column::Id.eq(workshop.as_str()))
        .exec_with_returning(txn)
        .await?;
    let revision = rows.first().map_or(0, |row| row.revision);
    insert(txn, Some(workshop), revision, event, now).await?;
    postgres::notify(txn, workshop).await?;
    Ok(u64::try_from(revision).unwrap_or_default())
}

/// Writes an event that is about no workshop.
pub async fn record_global(
    txn: &DatabaseTransaction,
    event: Event<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    insert(txn, None, 0, event, now).await
}

async fn insert(
    txn: &DatabaseTransaction,
    workshop: Option<&WorkshopId>,
    revision: i64,
    event: Event<'_>,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let row = event::ActiveModel {
        workshop_id: Set(workshop.map(ToString::to_string)),
        revision: Set(revision),
        actor: Set(event.actor.to_owned()),
        verb: Set(event.verb.to_owned()),
        object: Set(event.object.to_owned()),
        reason: Set(event.reason.to_owned()),
        data: Set(event.data.to_owned()),
        at: Set(now),
        ..Default::default()
    };
    event::Entity::insert(row)
        .exec_without_returning(txn)
        .await?;
    Ok(())
}

/// Something people should know now: on Watch streams, and in terminals.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Notice {
    /// What it is about.
    pub kind: NoticeKind,
    /// For people; it is the event's reason, so not in its data.
    #[serde(skip)]
    pub message: String,
    /// When it happens.
    pub at: Option<DateTime<Utc>>,
    /// Whose learner alone is told; everybody who watches if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seat: Option<u32>,
}

/// What a notice is about; the words are those of the terminal wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeKind {
    /// The worker is being taken away; the seat comes back by itself.
    Preempted,
    /// The workshop ends soon.
    Expiring,
    /// The control plane restarts.
    Draining,
    /// From the instructor.
    Help,
    /// The instructor reads a seat's files.
    Collected,
}

/// The verb of events that carry a [`Notice`] in `data`.
const NOTICE: &str = "workshop.notice";

/// Puts a notice on the workshop's Watch streams.
pub async fn record_notice(
    txn: &DatabaseTransaction,
    workshop: &WorkshopId,
    actor: &str,
    notice: &Notice,
    now: DateTime<Utc>,
) -> Result<u64, StoreError> {
    let data = serde_json::to_string(notice).map_err(|cause| StoreError::bad("notice", cause))?;
    let event = Event {
        actor,
        verb: NOTICE,
        object: "",
        reason: &notice.message,
        data: &data,
    };
    record(txn, workshop, event, now).await
}

impl Store {
    /// The notices of a workshop after a revision, oldest first, with theirs.
    pub async fn notices_since(
        &self,
        workshop: &WorkshopId,
        revision: u64,
    ) -> Result<Vec<(u64, Notice)>, StoreError> {
        let since = i64::try_from(revision).unwrap_or(i64::MAX);
        let rows = event::Entity::find()
            .filter(event::Column::WorkshopId.eq(workshop.as_str()))
            .filter(event::Column::Revision.gt(since))
            .filter(event::Column::Verb.eq(NOTICE))
            .order_by_asc(event::Column::Revision)
            .limit(64)
            .all(&self.db)
            .await?;
        rows.into_iter()
            .map(|row| {
                let mut notice: Notice = serde_json::from_str(&row.data)
                    .map_err(|cause| StoreError::bad("notice", cause))?;
                notice.message = row.reason;
                Ok((u64::try_from(row.revision).unwrap_or_default(), notice))
            })
            .collect()
    }

    /// The events of these verbs, oldest first: actor, verb, reason and data.
    #[cfg(test)]
    pub(crate) async fn told(&self, workshop: &WorkshopId, verbs: &[&str]) -> Vec<[String; 4]> {
        let rows = event::Entity::find()
            .filter(event::Column::WorkshopId.eq(workshop.as_str()))
            .filter(event::Column::Verb.is_in(verbs.iter().copied()))
            .order_by_asc(event::Column::Id)
            .all(&self.db)
            .await
            .unwrap_or_default();
        rows.into_iter()
            .map(|row| [row.actor, row.verb, row.reason, row.data])
            .collect()
    }

    /// The workshop's revision now; 0 if there is none.
    pub async fn revision(&self, workshop: &WorkshopId) -> Result<u64, StoreError> {
        let row = workshop::Entity::find_by_id(workshop.as_str())
            .select_only()
            .column(workshop::Column::Revision)
            .into_tuple::<i64>()
            .one(&self.db)
            .await?;
        Ok(row.and_then(|row| u64::try_from(row).ok()).unwrap_or(0))
    }
}
