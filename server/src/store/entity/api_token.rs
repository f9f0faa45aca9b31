//! Table `api_tokens`: hashes of API tokens.

#![allow(missing_docs, reason = "the derive makes items that cannot carry any")]

use sea_orm::entity::prelude::*;

/// A token, without its text.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "api_tokens")]
pub struct Model {
    /// `tk-` and ten characters.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// Whom it speaks for.
    pub principal_id: String,
    /// What people call it.
    pub label: String,
    /// SHA-256 of its text, hex; unique.
    pub hash: String,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTimeUtc>,
}

/// None: queries name what they join.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
