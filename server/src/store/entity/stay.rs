//! Table `stays`: who held which seat, from when to when.

#![allow(missing_docs, reason = "the derive makes items that cannot carry any")]

use sea_orm::entity::prelude::*;

/// A learner's stay in a seat; its id is the `sid` of their tokens.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "stays")]
pub struct Model {
    /// The stay.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The workshop.
    pub workshop_id: String,
    /// The seat.
    pub seat: i32,
    /// Names the learner in tokens; opaque.
    pub learner_id: String,
    /// What they call themselves; may be empty.
    pub display_name: String,
    /// SHA-256 of the reconnect code, hex; void once the stay has ended.
    pub reconnect_hash: String,
    /// When they took the seat.
    pub joined_at: DateTimeUtc,
    /// When they lost it, if they did.
    pub ended_at: Option<DateTimeUtc>,
}

/// None: queries name what they join.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
