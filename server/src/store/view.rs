//! Rows as people see them: one workshop with its workers and seats.
//!
//! Way: rows of four tables -> [`WorkshopView`] -> `api/wire.rs`.

use chrono::{DateTime, Utc};
use clarateach_domain::{
    egress::Egress,
    ids::{JoinCode, SeatNo, StayId, WorkshopId},
    limits::Asked,
    microvm::{Resources, Runtime},
    network::NetworkHealth,
    plan::SeatWish,
    workshop::{Desired, Phase, SeatState, WorkerState},
};

use super::{
    StoreError,
    entity::{seat, stay, worker, workshop},
};

/// A workshop.
#[derive(Debug, Clone, PartialEq)]
pub struct Workshop {
    /// Its id.
    pub id: WorkshopId,
    /// The principal that owns it, by id.
    pub owner_id: String,
    /// And by name.
    pub owner: String,
    /// What people call it.
    pub name: String,
    /// How many seats are wanted.
    pub seats: u32,
    /// What gives a seat its machine.
    pub runtime: Runtime,
    /// The join code.
    pub code: JoinCode,
    /// What the owner wants.
    pub desired: Desired,
    /// Where it is.
    pub phase: Phase,
    /// Why, and what happens next.
    pub reason: String,
    /// Grows with every wish.
    pub generation: u64,
    /// Grows with every change.
    pub revision: u64,
    /// What a seat's machine has.
    pub resources: Resources,
    /// What each seat may take, where it was said.
    pub limits: Asked,
    /// What seats may reach.
    pub egress: Egress,
    /// The root filesystem.
    pub template: String,
    /// What learners read.
    pub instructions: String,
    /// Names of the environment variables.
    pub env_names: Vec<String>,
    /// The certificate of its own CA, PEM.
    pub ca_certificate: String,
    /// Public half of the key that signs seat tokens, PEM.
    pub seat_key_public: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it deletes itself.
    pub expires_at: DateTime<Utc>,
    /// When it was gone, if it is.
    pub deleted_at: Option<DateTime<Utc>>,
}

/// One of its workers.
#[derive(Debug, Clone, PartialEq)]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// Which of the workshop's, from 1.
    pub ordinal: u32,
    /// Where its agent answers, HOST:PORT; empty until known.
    pub address: String,
    /// Where it runs.
    pub zone: String,
    /// Where it is in its life.
    pub state: WorkerState,
    /// Why.
    pub reason: String,
    /// When its certificate ends.
    pub certificate_expires_at: Option<DateTime<Utc>>,
    /// Version of its agent.
    pub agent_version: String,
    /// How its seats' walls stand, as last told.
    pub network: NetworkHealth,
}

/// Who holds a seat.
#[derive(Debug, Clone, PartialEq)]
pub struct Holder {
    /// Their stay.
    pub stay: StayId,
    /// What they call themselves.
    pub display_name: String,
    /// When they took it.
    pub joined_at: DateTime<Utc>,
}

/// One of its seats.
#[derive(Debug, Clone, PartialEq)]
pub struct Seat {
    /// Its number.
    pub seat: SeatNo,
    /// Ordinal of its worker.
    pub worker: u32,
    /// Where its machine is.
    pub state: SeatState,
    /// Why.
    pub reason: String,
    /// Who holds it, if anybody does.
    pub holder: Option<Holder>,
    /// From which epoch tokens count.
    pub epoch: u64,
    /// Seats that start before it.
    pub queue_position: u32,
    /// How often its machine was started again by itself.
    pub restarts: u32,
    /// Terminals open.
    pub terminals: u32,
    /// When the learner last typed.
    pub last_input_at: Option<DateTime<Utc>>,
}

/// A workshop with all that belongs to it, as of one revision.
#[derive(Debug, Clone, PartialEq)]
pub struct WorkshopView {
    /// The workshop.
    pub workshop: Workshop,
    /// Its workers that live, by ordinal.
    pub workers: Vec<Worker>,
    /// Its seats, by number.
    pub seats: Vec<Seat>,
}

impl WorkshopView {
    /// The worker a seat is on.
    pub fn worker_of(&self, seat: &Seat) -> Option<&Worker> {
        self.workers.iter().find(|w| w.ordinal == seat.worker)
    }

    /// One seat.
    pub fn seat(&self, number: SeatNo) -> Option<&Seat> {
        let at = self.seats.binary_search_by_key(&number, |seat| seat.seat);
        at.ok().map(|at| &self.seats[at])
    }
}

/// Numbers that are never negative are kept in signed columns.
pub(super) fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

pub(super) fn unsigned_big(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

pub(super) fn workshop(row: workshop::Model, owner: &str) -> Result<Workshop, StoreError> {
    let bad = |what, cause: &dyn std::fmt::Display| StoreError::bad(what, cause);
    Ok(Workshop {
        id: row.id.parse().map_err(|cause| bad("workshop id", &cause))?,
        owner: owner.to_owned(),
        owner_id: row.owner_id,
        name: row.name,
        seats: unsigned(row.seats),
        runtime: row.runtime.0,
        code: row.code.parse().map_err(|cause| bad("code", &cause))?,
        desired: row.desired.0,
        phase: row.phase.0,
        reason: row.reason,
        generation: unsigned_big(row.generation),
        revision: unsigned_big(row.revision),
        resources: Resources {
            vcpus: unsigned(row.vcpus),
            memory_mib: unsigned(row.memory_mib),
            disk_mib: unsigned(row.disk_mib),
        },
        limits: Asked {
            network_mbits: unsigned(row.network_mbits),
            disk_mib_per_second: unsigned(row.disk_mib_per_second),
            processes: unsigned(row.processes),
        },
        egress: egress(&row.egress),
        template: row.template,
        instructions: row.instructions,
        env_names: serde_json::from_str(&row.env_names)
            .map_err(|cause| bad("env_names", &cause))?,
        ca_certificate: row.ca_certificate,
        seat_key_public: row.seat_key_public,
        created_at: row.created_at,
        expires_at: row.expires_at,
        deleted_at: row.deleted_at,
    })
}

/// The policy in a row. What this version cannot read lets nothing out: ranges
/// may be closed that were open once, and the workshop must still be shown,
/// changed and deleted.
pub(super) fn egress(column: &str) -> Egress {
    serde_json::from_str(column).unwrap_or(Egress::None)
}

/// A worker's walls in its row. How often they were put right is not kept: it
/// counts from the agent's start.
pub(super) fn network(row: &worker::Model) -> NetworkHealth {
    NetworkHealth {
        repairs: 0,
        drift: row.network_drift.clone(),
        drift_at: row.network_drift_at,
        fault: row.network_fault.clone(),
    }
}

pub(super) fn worker(row: worker::Model) -> Worker {
    Worker {
        network: network(&row),
        name: row.name,
        ordinal: unsigned(row.ordinal),
        address: row.address,
        zone: row.zone,
        state: row.state.0,
        reason: row.reason,
        certificate_expires_at: row.certificate_expires_at,
        agent_version: row.agent_version,
    }
}

/// A seat as `phase` shows it: what is being taken away says so, whatever its
/// machine last reported.
pub(super) fn seat(
    row: seat::Model,
    stay: Option<stay::Model>,
    phase: Phase,
) -> Result<Seat, StoreError> {
    let state = match (row.wish.0, phase) {
        (SeatWish::Revoked | SeatWish::Removed, _) | (_, Phase::Deleting | Phase::Deleted) => {
            SeatState::Removing
        }
        (SeatWish::Kept, Phase::Stopping | Phase::Stopped) => SeatState::Stopped,
        (SeatWish::Kept, _) => row.state.0,
    };
    let holder = stay.map(|stay| {
        Ok::<_, StoreError>(Holder {
            stay: stay
                .id
                .parse()
                .map_err(|cause| StoreError::bad("stay id", cause))?,
            display_name: stay.display_name,
            joined_at: stay.joined_at,
        })
    });
    Ok(Seat {
        seat: unsigned(row.seat)
            .try_into()
            .map_err(|cause| StoreError::bad("seat", cause))?,
        worker: unsigned(row.worker),
        state,
        reason: row.reason,
        holder: holder.transpose()?,
        epoch: unsigned_big(row.epoch),
        queue_position: unsigned(row.queue_position),
        restarts: unsigned(row.restarts),
        terminals: unsigned(row.terminals),
        last_input_at: row.last_input_at,
    })
}
