//! Table `attempts`: what was tried with a worker, written before it was.

#![allow(missing_docs, reason = "the derive makes items that cannot carry any")]

use sea_orm::entity::prelude::*;

/// One try.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "attempts")]
pub struct Model {
    /// Counts up.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The workshop.
    pub workshop_id: String,
    /// Which of its workers.
    pub ordinal: i32,
    /// What was tried.
    pub verb: String,
    /// Sent along, so that a repeat is recognised.
    pub request_id: String,
    /// When it began.
    pub started_at: DateTimeUtc,
    /// When it ended, if it did.
    pub ended_at: Option<DateTimeUtc>,
    /// Why it failed; empty if it did not.
    #[sea_orm(column_type = "Text")]
    pub error: String,
    /// Whether another try cannot help until somebody acts.
    pub permanent: bool,
}

/// None: queries name what they join.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
