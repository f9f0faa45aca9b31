//! Table `workshops`: what is wanted, and where it is.

#![allow(missing_docs, reason = "the derive makes items that cannot carry any")]

use sea_orm::entity::prelude::*;

use clarateach_domain::{
    microvm::Runtime,
    workshop::{Desired, Phase},
};

use crate::store::text::Text;

/// A workshop.
#[derive(Clone, Debug, PartialEq, DeriveEntityModel)]
#[sea_orm(table_name = "workshops")]
pub struct Model {
    /// `ws-` and ten characters.
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: String,
    /// The principal that owns it.
    pub owner_id: String,
    /// What people call it.
    pub name: String,
    /// How many seats are wanted.
    pub seats: i32,
    /// What gives a seat its machine.
    pub runtime: Text<Runtime>,
    /// The join code without its hyphen; unique.
    pub code: String,
    /// What the owner wants.
    pub desired: Text<Desired>,
    /// Where it is, as people see it.
    pub phase: Text<Phase>,
    /// Why, and what happens next, for people.
    pub reason: String,
    /// Grows with every wish; what was settled for an older one is not saved.
    pub generation: i64,
    /// Grows with every change that a Watch stream shows.
    pub revision: i64,
    /// Whether every seat was ready once.
    pub ran: bool,
    /// When the present wish was made.
    pub since: DateTimeUtc,
    /// The smallest notice (minutes before the end) that was sent, if any was.
    pub notified: Option<i32>,
    /// Virtual CPUs of a seat.
    pub vcpus: i32,
    /// Memory of a seat, MiB.
    pub memory_mib: i32,
    /// Writable disk of a seat, MiB.
    pub disk_mib: i32,
    /// Network of a seat, Mbit/s each way; 0 is the worker's default.
    pub network_mbits: i32,
    /// Disk of a seat, MiB/s each way; 0 is the worker's default.
    pub disk_mib_per_second: i32,
    /// Processes of a seat; 0 is the worker's default.
    pub processes: i32,
    /// `domain::egress::Egress` as JSON.
    #[sea_orm(column_type = "Text")]
    pub egress: String,
    /// The root filesystem.
    pub template: String,
    /// What learners read, Markdown.
    #[sea_orm(column_type = "Text")]
    pub instructions: String,
    /// Names of the environment variables, a JSON list.
    #[sea_orm(column_type = "Text")]
    pub env_names: String,
    /// The environment, a JSON object, sealed.
    pub env_sealed: Vec<u8>,
    /// The certificate of its own CA, PEM.
    #[sea_orm(column_type = "Text")]
    pub ca_certificate: String,
    /// The CA's key, PEM, sealed.
    pub ca_key_sealed: Vec<u8>,
    /// Public half of the key that signs seat tokens, PEM.
    #[sea_orm(column_type = "Text")]
    pub seat_key_public: String,
    /// Private half, PEM, sealed.
    pub seat_key_sealed: Vec<u8>,
    /// When it was made.
    pub created_at: DateTimeUtc,
    /// When it deletes itself.
    pub expires_at: DateTimeUtc,
    /// When it was gone, if it is.
    pub deleted_at: Option<DateTimeUtc>,
}

/// None: queries name what they join.
#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}
