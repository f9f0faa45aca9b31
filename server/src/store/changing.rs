//! What every change of a workshop begins and ends with.
//!
//! Way: its row locked, an earlier answer looked up -> the change, in the caller's words ->
//! the answer kept, all of it committed, and whoever watches told.

use chrono::{DateTime, Utc};
use clarateach_domain::ids::WorkshopId;
use sea_orm::{ConnectionTrait, DbBackend, EntityTrait, QuerySelect};

use super::{
    Store, StoreError, WriteTxn,
    entity::workshop,
    limits::Refused,
    requests::{Replay, RequestKey},
};

/// How a change begins.
pub(super) enum Begun {
    /// It is to be made in this transaction, which alone has the workshop's row.
    Open(WriteTxn, Box<workshop::Model>),
    /// There is nothing to do but to answer.
    Over(Result<(), Refused>),
}

impl Store {
    /// Begins a change that answers nothing but that it is made.
    pub(super) async fn begin_change(
        &self,
        id: &WorkshopId,
        key: &RequestKey,
    ) -> Result<Begun, StoreError> {
        let txn = self.begin_write().await?;
        let Some(row) = locked(&txn, id).await? else {
            return Ok(Begun::Over(Err(Refused::Unknown)));
        };
        Ok(match self.replay(&txn, key).await? {
            Replay::Fresh => Begun::Open(txn, Box::new(row)),
            Replay::Differs => Begun::Over(Err(Refused::RequestDiffers)),
            Replay::Answered(_) => Begun::Over(Ok(())),
        })
    }

    /// Makes a begun change so.
    pub(super) async fn end_change(
        &self,
        txn: WriteTxn,
        id: &WorkshopId,
        key: &RequestKey,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.keep_answer(&txn, key, "", now).await?;
        txn.commit().await?;
        self.changed(id);
        Ok(())
    }
}

/// The workshop's row, which nobody else changes until the transaction ends.
pub(super) async fn locked(
    txn: &WriteTxn,
    id: &WorkshopId,
) -> Result<Option<workshop::Model>, StoreError> {
    let mut query = workshop::Entity::find_by_id(id.as_str());
    if txn.get_database_backend() == DbBackend::Postgres {
        query = query.lock_exclusive();
    }
    Ok(query.one(&**txn).await?)
}
