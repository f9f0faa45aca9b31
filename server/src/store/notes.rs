//! What a provisioner notes of a worker: a text of its own in the worker's row.

use anyhow::ensure;
use async_trait::async_trait;
use clarateach_domain::ids::WorkerName;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, sea_query::Expr};

use super::{Store, entity::worker};
use crate::provisioner::Notes;

#[async_trait]
impl Notes for Store {
    async fn read(&self, name: &WorkerName) -> anyhow::Result<Option<String>> {
        let row = worker::Entity::find()
            .filter(worker::Column::Name.eq(name.as_str()))
            .filter(worker::Column::DeletedAt.is_null())
            .one(&self.db)
            .await?;
        Ok(row.map(|row| row.provider_ref))
    }

    async fn write(&self, name: &WorkerName, text: &str) -> anyhow::Result<()> {
        let txn = self.begin_write().await?;
        let done = worker::Entity::update_many()
            .col_expr(worker::Column::ProviderRef, Expr::value(text))
            .filter(worker::Column::Name.eq(name.as_str()))
            .filter(worker::Column::DeletedAt.is_null())
            .exec(&*txn)
            .await?;
        ensure!(done.rows_affected == 1, "the worker {name} has no row");
        txn.commit().await?;
        Ok(())
    }
}
