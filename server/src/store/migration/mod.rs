//! Migrations: dated, append-only, run at start inside one transaction that
//! also is the lock.
//!
//! A migration that was released is never edited; the next one says what
//! changes. Way: [`columns`] of a migration -> SQLite or PostgreSQL.

use sea_orm_migration::{
    prelude::*,
    sea_query::{ColumnDef, TableCreateStatement},
};

mod m20261123_000001_first;
mod m20261128_000002_network;
mod m20261128_000003_limits;
mod m20261128_000004_instance;
mod m20261128_000005_told;
mod m20261128_000006_lists;

/// All of them, in order.
pub struct Migrations;

impl MigratorTrait for Migrations {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_first::Migration),
            Box::new(m20261128_000002_network::Migration),
            Box::new(m20261128_000003_limits::Migration),
            Box::new(m20261128_000004_instance::Migration),
            Box::new(m20261128_000005_told::Migration),
            Box::new(m20261128_000006_lists::Migration),
        ]
    }
}

/// What a column holds; `Maybe…` may be null.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    MaybeText,
    Int,
    MaybeInt,
    Big,
    Flag,
    Bytes,
    Time,
    MaybeTime,
    /// A number that counts up and is the primary key.
    Serial,
}

/// A table of `columns`; `key` names its primary key unless one is `Serial`.
fn table(
    name: &'static str,
    key: &[&'static str],
    columns: &[(&'static str, Kind)],
) -> TableCreateStatement {
    let mut table = Table::create();
    table.table(name);
    for &(name, kind) in columns {
        let mut column = ColumnDef::new(name);
        match kind {
            Kind::Text => column.text().not_null(),
            Kind::MaybeText => column.text(),
            Kind::Int => column.integer().not_null(),
            Kind::MaybeInt => column.integer(),
            Kind::Big => column.big_integer().not_null(),
            Kind::Flag => column.boolean().not_null(),
            Kind::Bytes => column.blob().not_null(),
            Kind::Time => column.timestamp_with_time_zone().not_null(),
            Kind::MaybeTime => column.timestamp_with_time_zone(),
            Kind::Serial => column
                .big_integer()
                .not_null()
                .auto_increment()
                .primary_key(),
        };
        table.col(column);
    }
    if !key.is_empty() {
        let mut index = Index::create();
        for &column in key {
            index.col(column);
        }
        table.primary_key(&mut index);
    }
    table.clone()
}

/// Adds `column` REFERENCES `target(id)` to a table that is being made.
fn refer(table: &mut TableCreateStatement, column: &'static str, target: &'static str) {
    let mut key = ForeignKey::create();
    key.from_col(column)
        .to(target, "id")
        .on_delete(ForeignKeyAction::Cascade);
    table.foreign_key(&mut key);
}
