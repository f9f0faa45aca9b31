//! 28 November 2026: which notice a worker's terminals were told, so that several control
//! planes tell it once.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

#[allow(
    elided_lifetimes_in_paths,
    reason = "async_trait's signature of `up` has none"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut column = ColumnDef::new("told").text().not_null().default("").take();
        let mut table = Table::alter();
        table.table("workers").add_column(&mut column);
        manager.alter_table(table).await
    }
}
