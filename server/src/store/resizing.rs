//! More seats, or fewer: the rows of a workshop's seats.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use clarateach_domain::{
    ids::{SeatNo, WorkshopId},
    plan::{SeatWish, place},
    workshop::SeatState,
};
use sea_orm::{ActiveValue::Set, DatabaseTransaction, EntityTrait};

use super::{
    StoreError, WriteTxn,
    entity::{seat, stay, workshop},
    limits::{Limits, Refused},
    reading::seats_of,
    text::Text,
    usual, view,
    workshops::{Answer, signed},
};

/// Adds the rows of seats with these numbers.
pub(super) async fn add_seats(
    txn: &DatabaseTransaction,
    id: &WorkshopId,
    numbers: &[u32],
    epoch: i64,
    limits: &Limits,
) -> Result<(), StoreError> {
    let rows = numbers.iter().map(|&number| {
        let number = SeatNo::try_from(number).map_err(|cause| StoreError::bad("seat", cause))?;
        let (worker, slot) = place(number, limits.seats_per_worker);
        Ok(seat::ActiveModel::from(seat::Model {
            workshop_id: id.to_string(),
            seat: signed(number.get()),
            worker: signed(worker.get()),
            slot: signed(slot.into()),
            incarnation: 1,
            epoch,
            wish: Text(SeatWish::Kept),
            stay_id: None,
            state: Text(SeatState::Waiting),
            reason: usual::WAITS.to_owned(),
            queue_position: 0,
            restarts: 0,
            terminals: 0,
            ready_at: None,
            last_input_at: None,
        }))
    });
    let rows = rows.collect::<Result<Vec<_>, StoreError>>()?;
    // SQLite binds at most 32,766 values a statement, fifteen a row.
    for rows in rows.chunks(500) {
        seat::Entity::insert_many(rows.to_vec())
            .exec_without_returning(txn)
            .await?;
    }
    Ok(())
}

/// Brings the number of seats to `want`; says whether anything changed.
pub(super) async fn resize(
    txn: &WriteTxn,
    workshop: &workshop::Model,
    want: u32,
    evict: bool,
    limits: &Limits,
    now: DateTime<Utc>,
) -> Answer<bool> {
    let id = &workshop
        .id
        .parse()
        .map_err(|cause| StoreError::bad("workshop id", cause))?;
    let rows = seats_of(&**txn, id).all(&**txn).await?;
    let kept: Vec<_> = rows
        .iter()
        .filter(|row| row.wish.0 != SeatWish::Removed)
        .collect();
    let have = u32::try_from(kept.len()).unwrap_or(u32::MAX);
    if want > have {
        // The lowest numbers that no row has: one that is being removed keeps
        // its own until it is gone.
        let taken: HashSet<_> = rows.iter().map(|row| view::unsigned(row.seat)).collect();
        let free = (1..).filter(|number| !taken.contains(number));
        let numbers: Vec<_> = free.take((want - have) as usize).collect();
        // Epochs grow only together with the generation, so no earlier holder of
        // such a number has a token of this epoch.
        add_seats(txn, id, &numbers, workshop.generation + 1, limits).await?;
    }
    let surplus = have.saturating_sub(want) as usize;
    let (taken, free): (Vec<_>, Vec<_>) = kept
        .into_iter()
        .rev()
        .partition(|row| row.stay_id.is_some());
    if surplus > free.len() && !evict {
        return Ok(Err(Refused::SeatsInUse {
            taken: taken.len(),
            must_go: surplus - free.len(),
        }));
    }
    for row in free.iter().chain(&taken).take(surplus) {
        remove_seat(txn, row, now).await?;
    }
    Ok(Ok(want != have))
}

async fn remove_seat(
    txn: &DatabaseTransaction,
    row: &seat::Model,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    end_stay(txn, row, now).await?;
    let next = seat::ActiveModel {
        workshop_id: Set(row.workshop_id.clone()),
        seat: Set(row.seat),
        wish: Set(Text(SeatWish::Removed)),
        epoch: Set(row.epoch + 1),
        stay_id: Set(None),
        ..Default::default()
    };
    seat::Entity::update(next).exec(txn).await?;
    Ok(())
}

/// Ends the stay in a seat; its reconnect code is void from then on.
pub(super) async fn end_stay(
    txn: &DatabaseTransaction,
    row: &seat::Model,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    if let Some(id) = &row.stay_id {
        let next = stay::ActiveModel {
            id: Set(id.clone()),
            ended_at: Set(Some(now)),
            ..Default::default()
        };
        stay::Entity::update(next).exec(txn).await?;
    }
    Ok(())
}
