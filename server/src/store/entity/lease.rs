//! Table `leases`: who may do alone what only one may do.

#![allow(missing_docs, reason = "the derive makes items that cannot carry any")]

use sea_orm::entity::prelude::*;

/// A lease. It expires by the database's clock.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "leases")]
pub struct Model {
    /// What it is for.
    #[sea_orm(primary_key, auto_increment = false)]
    pub name: String,
    /// Who has it.
    pub holder: String,
    /// Grows with every change of holder.
    pub fence: i64,
    /// When it ends, milliseconds since 1970 by the database's clock.
    pub expires_millis: i64,
}

/// None: queries name what they join.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
