//! Table `seats`: every place in a workshop, held or free.

#![allow(missing_docs, reason = "the derive makes items that cannot carry any")]

use sea_orm::entity::prelude::*;

use clarateach_domain::{plan::SeatWish, workshop::SeatState};

use crate::store::text::Text;

/// A seat. It is free if nobody holds it and its wish is `kept`.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "seats")]
pub struct Model {
    /// The workshop.
    #[sea_orm(primary_key, auto_increment = false)]
    pub workshop_id: String,
    /// The number, from 1.
    #[sea_orm(primary_key, auto_increment = false)]
    pub seat: i32,
    /// Ordinal of its worker, from 1.
    pub worker: i32,
    /// Its place on that worker, 1 to 200.
    pub slot: i32,
    /// Which life its machine should be in.
    pub incarnation: i64,
    /// From which epoch tokens count.
    pub epoch: i64,
    /// What is being done with it.
    pub wish: Text<SeatWish>,
    /// The stay that holds it, if any does.
    pub stay_id: Option<String>,
    /// Where its machine was when last seen.
    pub state: Text<SeatState>,
    /// Why, for people.
    pub reason: String,
    /// Seats that start before this one.
    pub queue_position: i32,
    /// How often its machine was started again by itself.
    pub restarts: i32,
    /// Terminals open when last seen.
    pub terminals: i32,
    /// When its machine first answered in this life.
    pub ready_at: Option<DateTimeUtc>,
    /// When the learner last typed.
    pub last_input_at: Option<DateTimeUtc>,
}

/// None: queries name what they join.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
