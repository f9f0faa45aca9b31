//! The intervals in which workers cost money.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clarateach_domain::ids::WorkshopId;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter,
    sea_query::Expr,
};

use super::{
    Store, StoreError,
    entity::{worker, worker_run},
};

impl Store {
    /// How long the workshop's workers have run until `now`, all of them together.
    pub async fn worker_time(
        &self,
        id: &WorkshopId,
        now: DateTime<Utc>,
    ) -> Result<Duration, StoreError> {
        let runs = worker_run::Entity::find()
            .filter(worker_run::Column::WorkshopId.eq(id.as_str()))
            .all(&self.db)
            .await?;
        let long = |run: &worker_run::Model| (run.to_at.unwrap_or(now) - run.from_at).to_std();
        Ok(runs.iter().filter_map(|run| long(run).ok()).sum())
    }

    /// How many workers cost money now.
    pub async fn open_runs(&self) -> Result<u64, StoreError> {
        let open = worker_run::Entity::find().filter(worker_run::Column::ToAt.is_null());
        Ok(open.count(&self.db).await?)
    }
}

/// Opens or closes the interval in which a worker costs money.
pub(super) async fn set_runs(
    txn: &DatabaseTransaction,
    id: &WorkshopId,
    row: &worker::Model,
    zone: &str,
    runs: bool,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let open = worker_run::Entity::find()
        .filter(worker_run::Column::WorkerId.eq(row.id))
        .filter(worker_run::Column::ToAt.is_null())
        .one(txn)
        .await?;
    match (open, runs) {
        (None, true) => {
            let run = worker_run::ActiveModel {
                worker_id: Set(row.id),
                workshop_id: Set(id.to_string()),
                machine_type: Set("local".to_owned()),
                zone: Set(zone.to_owned()),
                spot: Set(false),
                from_at: Set(now),
                to_at: Set(None),
                ..Default::default()
            };
            worker_run::Entity::insert(run)
                .exec_without_returning(txn)
                .await?;
        }
        (Some(open), false) => {
            worker_run::Entity::update_many()
                .col_expr(worker_run::Column::ToAt, Expr::value(now))
                .filter(worker_run::Column::Id.eq(open.id))
                .exec(txn)
                .await?;
        }
        (Some(_), true) | (None, false) => {}
    }
    Ok(())
}
