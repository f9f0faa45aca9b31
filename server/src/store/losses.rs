//! What was lost with a worker, told once.

use chrono::{DateTime, Utc};
use clarateach_domain::{ids::WorkshopId, plan::Ordinal};
use sea_orm::{ColumnTrait, EntityTrait, QueryFilter, sea_query::Expr};

use super::{
    Notice, NoticeKind, Store, StoreError, entity::worker, record_notice, workshops::signed,
};

impl Store {
    /// Tells Watch streams of a worker that is gone with its disk, if learners may have had
    /// something there: its agent has answered since the worker was last made. False if
    /// there is nothing to tell, or it was told already.
    pub async fn lost_worker(
        &self,
        id: &WorkshopId,
        ordinal: Ordinal,
        message: &str,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let txn = self.begin_write().await?;
        let had = worker::Entity::update_many()
            .col_expr(worker::Column::AgentVersion, Expr::value(""))
            .filter(worker::Column::WorkshopId.eq(id.as_str()))
            .filter(worker::Column::Ordinal.eq(signed(ordinal.get())))
            .filter(worker::Column::DeletedAt.is_null())
            .filter(worker::Column::AgentVersion.ne(""))
            .exec(&*txn)
            .await?;
        if had.rows_affected == 0 {
            return Ok(false);
        }
        let notice = Notice {
            kind: NoticeKind::Preempted,
            message: message.to_owned(),
            at: None,
            seat: None,
        };
        record_notice(&txn, id, "reconciler", &notice, now).await?;
        txn.commit().await?;
        self.changed(id);
        Ok(true)
    }
}
