//! Table `events`: append-only; who did what to what, why and when.

#![allow(missing_docs, reason = "the derive makes items that cannot carry any")]

use sea_orm::entity::prelude::*;

/// An event, written in the transaction of the change it tells.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "events")]
pub struct Model {
    /// Counts up.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The workshop, if it is about one.
    pub workshop_id: Option<String>,
    /// The workshop's revision from then on; 0 without a workshop.
    pub revision: i64,
    /// A principal, a stay, or `reconciler`.
    pub actor: String,
    /// What was done, such as `seat.claimed`.
    pub verb: String,
    /// To what, such as `seat/3`; empty for the workshop itself.
    pub object: String,
    /// Why, for people.
    #[sea_orm(column_type = "Text")]
    pub reason: String,
    /// What else belongs to it, JSON; empty for nothing. Never a secret.
    #[sea_orm(column_type = "Text")]
    pub data: String,
    /// When.
    pub at: DateTimeUtc,
}

/// None: queries name what they join.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
