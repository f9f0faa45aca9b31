//! Table `principals`: whom API tokens speak for, and who owns workshops.

#![allow(missing_docs, reason = "the derive makes items that cannot carry any")]

use sea_orm::entity::prelude::*;

use clarateach_domain::workshop::Role;

use crate::store::text::Text;

/// A principal.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "principals")]
pub struct Model {
    /// `pr-` and ten characters.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// What people call them; unique.
    pub name: String,
    /// What they may do.
    pub role: Text<Role>,
    /// When it was made.
    pub created_at: DateTimeUtc,
}

/// None: queries name what they join.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
