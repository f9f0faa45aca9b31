//! 28 November 2026: lists in the order in which they are asked for, so that a page costs
//! what is on it.

use sea_orm_migration::prelude::*;

#[derive(DeriveMigrationName)]
pub(super) struct Migration;

/// Most rows are of deleted workshops, which few ask for: those that are not have indexes
/// of their own. `store::reading::living` says the condition in the same words.
const CHANGES: [&str; 5] = [
    "CREATE INDEX workshops_newest ON workshops (created_at DESC, id)",
    "CREATE INDEX workshops_living ON workshops (created_at DESC, id) WHERE phase <> 'deleted'",
    "DROP INDEX workshops_owner",
    "CREATE INDEX workshops_owner ON workshops (owner_id, created_at DESC, id)",
    "CREATE INDEX workshops_owners_living ON workshops (owner_id, created_at DESC, id) \
     WHERE phase <> 'deleted'",
];

#[allow(
    elided_lifetimes_in_paths,
    reason = "async_trait's signature of `up` has none"
)]
#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for change in CHANGES {
            manager.get_connection().execute_unprepared(change).await?;
        }
        Ok(())
    }
}
