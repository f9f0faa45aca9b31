//! How many there are of what, for metrics and for whoever stops the server.

use clarateach_domain::workshop::{Phase, SeatState};
use sea_orm::{
    ColumnTrait, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect, sea_query::Query,
};

use super::{
    Store, StoreError,
    entity::{seat, worker, workshop},
    reading,
    text::Text,
};

/// Counts of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Census {
    /// Workshops by phase, every phase named.
    pub workshops: Vec<(Phase, u32)>,
    /// Seats of workshops that are not deleted, by state, every state named.
    pub seats: Vec<(SeatState, u32)>,
    /// Those of them that learners hold.
    pub taken: u32,
    /// Workers that live.
    pub workers: u32,
    /// Those of them whose seats' walls could not be put right.
    pub faulty: u32,
}

const PHASES: [Phase; 8] = [
    Phase::Provisioning,
    Phase::Running,
    Phase::Degraded,
    Phase::Stopping,
    Phase::Stopped,
    Phase::Deleting,
    Phase::Deleted,
    Phase::Failed,
];

const STATES: [SeatState; 7] = [
    SeatState::Waiting,
    SeatState::Booting,
    SeatState::Ready,
    SeatState::Restarting,
    SeatState::Failed,
    SeatState::Removing,
    SeatState::Stopped,
];

impl Census {
    /// Workshops that are not deleted.
    pub fn living(&self) -> u32 {
        let living = self.workshops.iter();
        living
            .filter(|(phase, _)| *phase != Phase::Deleted)
            .map(|(_, count)| count)
            .sum()
    }
}

impl Store {
    /// Counts what there is.
    pub async fn census(&self) -> Result<Census, StoreError> {
        let phases = workshop::Entity::find()
            .select_only()
            .column(workshop::Column::Phase)
            .column_as(workshop::Column::Id.count(), "n")
            .group_by(workshop::Column::Phase)
            .into_tuple::<(Text<Phase>, i64)>()
            .all(&self.db)
            .await?;
        let mut living = Query::select();
        living
            .column(workshop::Column::Id)
            .from(workshop::Entity)
            .and_where(reading::living());
        let seats = seat::Entity::find().filter(seat::Column::WorkshopId.in_subquery(living));
        let states = seats
            .clone()
            .select_only()
            .column(seat::Column::State)
            .column_as(seat::Column::Seat.count(), "n")
            .group_by(seat::Column::State)
            .into_tuple::<(Text<SeatState>, i64)>()
            .all(&self.db)
            .await?;
        let taken = seats.filter(seat::Column::StayId.is_not_null());
        let workers = worker::Entity::find().filter(worker::Column::DeletedAt.is_null());
        let faulty = workers.clone().filter(worker::Column::NetworkFault.ne(""));
        let of = |found: Option<i64>| u32::try_from(found.unwrap_or(0)).unwrap_or(u32::MAX);
        let phase = |phase| phases.iter().find(|row| row.0.0 == phase).map(|row| row.1);
        let state = |state| states.iter().find(|row| row.0.0 == state).map(|row| row.1);
        Ok(Census {
            workshops: PHASES.map(|p| (p, of(phase(p)))).to_vec(),
            seats: STATES.map(|s| (s, of(state(s)))).to_vec(),
            taken: u32::try_from(taken.count(&self.db).await?).unwrap_or(u32::MAX),
            workers: u32::try_from(workers.count(&self.db).await?).unwrap_or(u32::MAX),
            faulty: u32::try_from(faulty.count(&self.db).await?).unwrap_or(u32::MAX),
        })
    }
}
