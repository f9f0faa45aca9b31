//! Tries at what is asked of workers and seats: a row before each.

use chrono::{DateTime, Utc};
use clarateach_domain::{ids::WorkshopId, plan::Ordinal};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, Condition, DatabaseTransaction, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, sea_query::Expr,
};

use super::{
    Store, StoreError,
    entity::attempt,
    workers::{number, want_worker},
};

/// Tries kept for each verb with a worker: more than any back-off counts.
const KEPT_ATTEMPTS: u64 = 10;

/// A try that has a row.
#[derive(Debug, Clone, Copy)]
pub struct Attempt(i64);

impl Store {
    /// Notes that `verb` is about to be tried with a worker. The worker gets
    /// its row with its first try.
    pub async fn begin_attempt(
        &self,
        id: &WorkshopId,
        of: Ordinal,
        verb: &str,
        now: DateTime<Utc>,
    ) -> Result<Attempt, StoreError> {
        let txn = self.begin_write().await?;
        if verb == "create" {
            want_worker(&txn, id, of, now).await?;
        }
        drop_old_attempts(&txn, id, of, verb).await?;
        let request_id = format!("{id}-w{of}-{:016x}", rand::random::<u64>());
        let row = attempt::ActiveModel {
            workshop_id: Set(id.to_string()),
            ordinal: Set(number(of)),
            verb: Set(verb.to_owned()),
            request_id: Set(request_id),
            started_at: Set(now),
            ended_at: Set(None),
            error: Set(String::new()),
            permanent: Set(false),
            ..Default::default()
        };
        let row = attempt::Entity::insert(row).exec(&*txn).await?;
        txn.commit().await?;
        Ok(Attempt(row.last_insert_id))
    }

    /// Notes how it ended.
    pub async fn end_attempt(
        &self,
        attempt: Attempt,
        (error, permanent): (Option<&str>, bool),
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        attempt::Entity::update_many()
            .col_expr(attempt::Column::EndedAt, Expr::value(now))
            .col_expr(
                attempt::Column::Error,
                Expr::value(error.unwrap_or_default()),
            )
            .col_expr(attempt::Column::Permanent, Expr::value(permanent))
            .filter(attempt::Column::Id.eq(attempt.0))
            .exec(&*txn)
            .await?;
        txn.commit().await
    }

    /// Forgets tries that have reached what they were for.
    pub async fn clear_attempts(
        &self,
        id: &WorkshopId,
        of: Ordinal,
        verbs: &[&str],
    ) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        attempt::Entity::delete_many()
            .filter(attempt::Column::WorkshopId.eq(id.as_str()))
            .filter(attempt::Column::Ordinal.eq(number(of)))
            .filter(attempt::Column::Verb.is_in(verbs.iter().copied()))
            .exec(&*txn)
            .await?;
        txn.commit().await
    }
}

/// Makes room for one more: back-offs need a count, not a history.
async fn drop_old_attempts(
    txn: &DatabaseTransaction,
    id: &WorkshopId,
    of: Ordinal,
    verb: &str,
) -> Result<(), StoreError> {
    let same = Condition::all()
        .add(attempt::Column::WorkshopId.eq(id.as_str()))
        .add(attempt::Column::Ordinal.eq(number(of)))
        .add(attempt::Column::Verb.eq(verb));
    let newest = attempt::Entity::find()
        .filter(same.clone())
        .order_by_desc(attempt::Column::Id)
        .offset(KEPT_ATTEMPTS - 1)
        .limit(1);
    if let Some(row) = newest.one(txn).await? {
        attempt::Entity::delete_many()
            .filter(same.add(attempt::Column::Id.lte(row.id)))
            .exec(txn)
            .await?;
    }
    Ok(())
}
