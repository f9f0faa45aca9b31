//! Table `workers`: every worker that is, or was and has not been purged.

#![allow(missing_docs, reason = "the derive makes items that cannot carry any")]

use sea_orm::entity::prelude::*;

use clarateach_domain::workshop::WorkerState;

use crate::store::text::Text;

/// A worker. Those with `deleted_at` are history; at most one of a name lives.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "workers")]
pub struct Model {
    /// Counts up; a worker made again is another row.
    #[sea_orm(primary_key)]
    pub id: i64,
    /// The workshop.
    pub workshop_id: String,
    /// Which of its workers, from 1.
    pub ordinal: i32,
    /// `WorkerName::of(workshop, ordinal)`.
    pub name: String,
    /// What the provisioner calls it; empty until it says.
    pub provider_ref: String,
    /// Where it runs; `local` on one box.
    pub zone: String,
    /// Where it is in its life.
    pub state: Text<WorkerState>,
    /// Why, for people.
    pub reason: String,
    /// Where its agent answers, HOST:PORT; empty until known.
    pub address: String,
    /// The VM for which it was signed, by the cloud's number; empty for none.
    #[sea_orm(column_type = "Text")]
    pub instance_id: String,
    /// The signing request last signed, PEM.
    #[sea_orm(column_type = "Text")]
    pub csr: String,
    /// The certificate last given, PEM.
    #[sea_orm(column_type = "Text")]
    pub certificate: String,
    /// When that ends.
    pub certificate_expires_at: Option<DateTimeUtc>,
    /// Version of its agent, as last told.
    pub agent_version: String,
    /// Why its seats' walls could not be put right; empty if they stand.
    #[sea_orm(column_type = "Text")]
    pub network_fault: String,
    /// What was last found changed of them; empty if nothing was.
    #[sea_orm(column_type = "Text")]
    pub network_drift: String,
    /// When that was.
    pub network_drift_at: Option<DateTimeUtc>,
    /// The notice that its learners' terminals were last told, as the loop names it.
    #[sea_orm(column_type = "Text")]
    pub told: String,
    /// When it was first wanted.
    pub created_at: DateTimeUtc,
    /// When its agent first answered.
    pub ready_at: Option<DateTimeUtc>,
    /// When it was gone, if it is.
    pub deleted_at: Option<DateTimeUtc>,
}

/// None: queries name what they join.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
