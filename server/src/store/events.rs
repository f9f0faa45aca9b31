//! The append-only record: what happened, written with what it tells of.
//!
//! Way: a change in a transaction -> [`record`] -> the workshop's next revision
//! and an event that carries it.

use chrono::{DateTime, Utc};
use clarateach_domain::ids::WorkshopId;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter,
    sea_query::Expr,
};

use super::{
    StoreError,
    entity::{event, workshop},
};

/// One thing that happened.
#[derive(Debug, Clone, Copy)]
pub struct Event<'a> {
    /// Who did it: a principal, a stay, or `reconciler`.
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
