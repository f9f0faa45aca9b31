//! 28 November 2026: how the walls around a worker's seats stand.

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
        // One column a statement: SQLite takes no more.
        for mut column in [
            ColumnDef::new("network_fault")
                .text()
                .not_null()
                .default("")
                .take(),
            ColumnDef::new("network_drift")
                .text()
                .not_null()
                .default("")
                .take(),
            ColumnDef::new("network_drift_at")
                .timestamp_with_time_zone()
                .take(),
        ] {
            let mut table = Table::alter();
            table.table("workers").add_column(&mut column);
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
