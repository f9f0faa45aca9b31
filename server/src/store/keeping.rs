//! What outlives its use: deleted workshops are readable for seven days, then
//! they go. Events and run intervals stay.

use chrono::{DateTime, TimeDelta, Utc};
use clarateach_certs::ca::Ca;
use clarateach_domain::{ids::WorkshopId, workshop::Phase};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter};

use super::{Event, Store, StoreError, entity::workshop, record, text::Text, workshops::sealed};

/// How long a deleted workshop stays readable.
const READABLE: TimeDelta = TimeDelta::days(7);

impl Store {
    /// Forgets workshops that were deleted more than seven days ago.
    pub async fn purge(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let txn = self.begin_write().await?;
        let gone = workshop::Entity::delete_many()
            .filter(workshop::Column::Phase.eq(Text(Phase::Deleted)))
            .filter(workshop::Column::DeletedAt.lt(now - READABLE))
            .exec(&*txn)
            .await?
            .rows_affected;
        txn.commit().await?;
        Ok(gone)
    }

    /// A workshop's own CA, with its key.
    pub async fn workshop_ca(&self, id: &WorkshopId) -> Result<Option<Ca>, StoreError> {
        let row = workshop::Entity::find_by_id(id.as_str())
            .one(&self.db)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let key = self
            .key
            .open_text(sealed::CA_KEY, id.as_str(), &row.ca_key_sealed)?;
        Ca::from_pem(&row.ca_certificate, &key)
            .map(Some)
            .map_err(|cause| StoreError::bad("CA", cause))
    }

    /// Writes an event that changes nothing else.
    pub async fn note(
        &self,
        id: &WorkshopId,
        event: Event<'_>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        record(&txn, id, event, now).await?;
        txn.commit().await?;
        self.changed(id);
        Ok(())
    }
}
