//! Table `worker_runs`: when which machine was billed, the only source of cost.

#![allow(missing_docs, reason = "the derive makes items that cannot carry any")]

use sea_orm::entity::prelude::*;

/// One stretch in which a worker ran.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "worker_runs")]
pub struct Model {
    /// Counts up.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The worker's row.
    pub worker_id: i64,
    /// The workshop.
    pub workshop_id: String,
    /// Machine type; `local` on one box.
    pub machine_type: String,
    /// Zone; `local` on one box.
    pub zone: String,
    /// Whether it was a spot machine.
    pub spot: bool,
    /// From when.
    pub from_at: DateTimeUtc,
    /// Until when; it still runs while empty.
    pub to_at: Option<DateTimeUtc>,
}

/// None: queries name what they join.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
