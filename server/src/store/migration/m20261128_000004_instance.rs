//! 28 November 2026: for which VM a worker's certificate was signed, empty for a
//! worker that is none of a cloud's; and whether a failed try is worth another.

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
        let mut column = ColumnDef::new("instance_id")
            .text()
            .not_null()
            .default("")
            .take();
        let mut table = Table::alter();
        table.table("workers").add_column(&mut column);
        manager.alter_table(table).await?;
        let mut column = ColumnDef::new("permanent")
            .boolean()
            .not_null()
            .default(false)
            .take();
        let mut table = Table::alter();
        table.table("attempts").add_column(&mut column);
        manager.alter_table(table).await
    }
}
