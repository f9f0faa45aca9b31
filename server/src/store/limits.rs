//! How much there may be, and why a wish is refused.
//!
//! Way: the transaction has written what is wished -> [`Limits::check`] counts
//! with it -> too much, and it is never committed. So two wishes cannot pass
//! together where only one fits.

use std::num::NonZeroU32;

use clarateach_domain::plan::SeatWish;
use sea_orm::{
    ColumnTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect,
    sea_query::Query,
};

use super::{
    StoreError,
    entity::{seat, workshop},
    postgres,
    reading::living as living_workshops,
    text::Text,
};

/// How much there may be.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Seats that one worker carries.
    pub seats_per_worker: NonZeroU32,
    /// Workers of all workshops together.
    pub max_workers: u32,
    /// Seats of all workshops of one owner together.
    pub max_seats_per_owner: u32,
}

/// Why a wish was not granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// There is no such thing for this caller.
    Unknown,
    /// The request id belongs to another call.
    RequestDiffers,
    /// The workshop is being removed, or is gone.
    Deleting,
    /// The workshop's time is over.
    Over,
    /// The workshop is stopped.
    Stopped,
    /// The workshop could not be made.
    Failed,
    /// Every seat is taken.
    Full {
        /// So many.
        seats: u32,
        /// Some become free by themselves soon.
        soon: bool,
    },
    /// The reconnect code belongs to nobody here.
    ReconnectUnknown,
    /// The seat that an earlier join got was taken back.
    StayOver,
    /// Nobody holds the seat, so there is nothing to do.
    SeatFree,
    /// Learners sit where seats must go.
    SeatsInUse {
        /// Seats with learners.
        taken: usize,
        /// Of which so many would have to go.
        must_go: usize,
    },
    /// The installation cannot carry it.
    NoWorkers {
        /// The limit.
        most: u32,
    },
    /// The owner has too many seats.
    OwnerQuota {
        /// The limit.
        most: u32,
    },
}

impl Limits {
    /// Counts what there would be if `txn` were committed.
    pub(super) async fn check(
        &self,
        txn: &DatabaseTransaction,
        owner_id: &str,
    ) -> Result<Result<(), Refused>, StoreError> {
        postgres::alone(txn, postgres::CAPACITY).await?;
        let living = |owner: Option<&str>| {
            let mut ids = Query::select();
            ids.column(workshop::Column::Id)
                .from(workshop::Entity)
                .and_where(living_workshops());
            if let Some(owner) = owner {
                ids.and_where(workshop::Column::OwnerId.eq(owner));
            }
            seat::Entity::find().filter(seat::Column::WorkshopId.in_subquery(ids))
        };
        // A seat that is being removed still needs its worker.
        let workers = living(None)
            .select_only()
            .column(seat::Column::WorkshopId)
            .column(seat::Column::Worker)
            .distinct()
            .into_tuple::<(String, i32)>()
            .all(txn)
            .await?
            .len();
        if workers > self.max_workers as usize {
            return Ok(Err(Refused::NoWorkers {
                most: self.max_workers,
            }));
        }
        let seats = living(Some(owner_id))
            .filter(seat::Column::Wish.ne(Text(SeatWish::Removed)))
            .count(txn)
            .await?;
        if seats > u64::from(self.max_seats_per_owner) {
            return Ok(Err(Refused::OwnerQuota {
                most: self.max_seats_per_owner,
            }));
        }
        Ok(Ok(()))
    }
}
