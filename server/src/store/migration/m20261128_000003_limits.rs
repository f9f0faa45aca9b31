//! 28 November 2026: what each seat of a workshop may take; 0 is the worker's default.

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
        for name in ["network_mbits", "disk_mib_per_second", "processes"] {
            let mut column = ColumnDef::new(name).integer().not_null().default(0).take();
            let mut table = Table::alter();
            table.table("workshops").add_column(&mut column);
            manager.alter_table(table).await?;
        }
        Ok(())
    }
}
