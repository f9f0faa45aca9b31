//! Table `requests`: calls with a request id, so that a repeat gets the same answer.

#![allow(missing_docs, reason = "the derive makes items that cannot carry any")]

use sea_orm::entity::prelude::*;

/// A call that was answered.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "requests")]
pub struct Model {
    /// Whose id it is: a principal, or one workshop's learners.
    #[sea_orm(primary_key, auto_increment = false)]
    pub scope: String,
    /// The caller's id.
    #[sea_orm(primary_key, auto_increment = false)]
    pub request_id: String,
    /// The call and SHA-256 of what it asked, hex.
    pub body: String,
    /// What it was answered with, sealed.
    pub answer_sealed: Vec<u8>,
    /// When.
    pub created_at: DateTimeUtc,
}

/// None: queries name what they join.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
