//! What sweeps must know beyond one process: from when on a worker without a row may be a
//! class of a database that was put back, and which were found to be.
//!
//! The moment is the newest row at the first start after which no sweep has gone over all
//! workers. Later rows must not move it: they are this database's, and say nothing of
//! what the other one made.

use chrono::{DateTime, Utc};
use clarateach_domain::sweep::Gap;
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, QueryOrder};

use super::{Event, Store, StoreError, entity::event, record_global};

/// The verb of events that say which workers are left alone.
const QUARANTINED: &str = "worker.quarantined";
/// Of those that keep the moment; in `data`, empty for a database without rows.
const PENDING: &str = "sweep.pending";
/// Of those that say that it was used on all workers.
const DONE: &str = "sweep.done";

impl Store {
    /// From when something last happened to a workshop before this installation was last
    /// swept whole, until `now`: a database that was put back may bring an earlier start's
    /// moment along, but not an earlier end. To be asked at every start, before anything
    /// else is written.
    pub async fn sweep_gap(&self, now: DateTime<Utc>) -> Result<Gap, StoreError> {
        let newest = self.sweep_from(now).await?;
        Ok(Gap { newest, until: now })
    }

    async fn sweep_from(&self, now: DateTime<Utc>) -> Result<Option<DateTime<Utc>>, StoreError> {
        let txn = self.begin_write().await?;
        let last = event::Entity::find()
            .filter(event::Column::Verb.is_in([PENDING, DONE]))
            .order_by_desc(event::Column::Id)
            .one(&*txn)
            .await?;
        if let Some(pending) = last.filter(|last| last.verb == PENDING) {
            if pending.data.is_empty() {
                return Ok(None);
            }
            let from = DateTime::parse_from_rfc3339(&pending.data);
            let from = from.map_err(|cause| StoreError::bad("sweep", cause))?;
            return Ok(Some(from.to_utc()));
        }
        let newest = event::Entity::find()
            .filter(event::Column::WorkshopId.is_not_null())
            .order_by_desc(event::Column::Id)
            .one(&*txn)
            .await?
            .map(|event| event.at);
        let data = newest.map(|at| at.to_rfc3339()).unwrap_or_default();
        let event = Event {
            actor: "reconciler",
            verb: PENDING,
            object: "",
            reason: "workers that no row knows are judged by this moment",
            data: &data,
        };
        record_global(&txn, event, now).await?;
        txn.commit().await?;
        Ok(newest)
    }

    /// Notes that every worker was judged: the next start takes its own moment.
    pub async fn swept(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        let event = Event {
            actor: "reconciler",
            verb: DONE,
            object: "",
            reason: "",
            data: "",
        };
        record_global(&txn, event, now).await?;
        txn.commit().await?;
        Ok(())
    }

    /// What was put in quarantine, by name.
    pub async fn quarantined(&self) -> Result<Vec<String>, StoreError> {
        let events = event::Entity::find()
            .filter(event::Column::Verb.eq(QUARANTINED))
            .all(&self.db)
            .await?;
        Ok(events.into_iter().map(|event| event.object).collect())
    }

    /// Notes that what has no row is left alone.
    pub async fn quarantine(&self, name: &str, now: DateTime<Utc>) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        let event = Event {
            actor: "reconciler",
            verb: QUARANTINED,
            object: name,
            reason: "no row knows it, and it is newer than the newest row",
            data: "",
        };
        record_global(&txn, event, now).await?;
        txn.commit().await?;
        Ok(())
    }
}
