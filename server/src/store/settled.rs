//! What a look and a plan came to, kept where the wish is still the same.

use chrono::{DateTime, Utc};
use clarateach_domain::{ids::WorkshopId, workshop::Phase};
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait,
    IntoActiveModel, QueryFilter, sea_query::Expr,
};

use super::{
    Store, StoreError,
    changing::locked,
    entity::{seat, stay, workshop},
    record,
    settle::{SeatRow, Settling, end_stays, event, the_seat},
    sights::{WorkerSight, save_workers},
    text::Text,
};

/// What one look and one plan came to.
pub struct Settled {
    /// Where the workshop is.
    pub phase: Phase,
    /// Why, for people.
    pub reason: String,
    /// Seats as they are now.
    pub seats: Vec<SeatRow>,
    /// Workers as they are now.
    pub workers: Vec<WorkerSight>,
}

impl Store {
    /// Keeps what was seen and where that puts the workshop; false, and nothing
    /// kept, if the wish is no longer the one it was settled for. Every change is
    /// an event.
    pub async fn save_settled(
        &self,
        before: &Settling,
        settled: &Settled,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let txn = self.begin_write().await?;
        let id = &before.id;
        let Some(row) = locked(&txn, id).await? else {
            return Ok(false);
        };
        let current = row.generation == before.generation;
        if !current {
            return Ok(false);
        }
        let mut told = save_workers(&txn, id, &before.workers, &settled.workers, now).await?;
        told |= save_seats(&txn, id, &before.seats, &settled.seats, now).await?;
        if (row.phase.0, &row.reason) != (settled.phase, &settled.reason) {
            told = true;
            save_phase(&txn, id, row, settled, now).await?;
        }
        txn.commit().await?;
        if told {
            self.changed(id);
        }
        Ok(true)
    }
}

async fn save_phase(
    txn: &DatabaseTransaction,
    id: &WorkshopId,
    row: workshop::Model,
    settled: &Settled,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    let moved = row.phase.0 != settled.phase;
    let mut row = row.into_active_model();
    row.phase = Set(Text(settled.phase));
    row.reason = Set(settled.reason.clone());
    if settled.phase == Phase::Running {
        row.ran = Set(true);
    }
    if settled.phase == Phase::Deleted {
        row.deleted_at = Set(Some(now));
        end_stays(txn, stay::Column::WorkshopId.eq(id.as_str()), now).await?;
    }
    row.update(txn).await?;
    let verb = if moved {
        format!("workshop.{}", settled.phase)
    } else {
        "workshop.progress".to_owned()
    };
    record(txn, id, event(&verb, "", &settled.reason), now).await?;
    Ok(())
}

/// Writes the seats that differ; true if something people wait for did.
async fn save_seats(
    txn: &DatabaseTransaction,
    id: &WorkshopId,
    before: &[SeatRow],
    after: &[SeatRow],
    now: DateTime<Utc>,
) -> Result<bool, StoreError> {
    let mut told = false;
    for new in after {
        let Some(old) = before.iter().find(|old| old.seat == new.seat) else {
            continue;
        };
        if old == new {
            continue;
        }
        seat::Entity::update_many()
            .col_expr(seat::Column::State, Expr::value(Text(new.state)))
            .col_expr(seat::Column::Reason, Expr::value(new.reason.as_str()))
            .col_expr(
                seat::Column::QueuePosition,
                Expr::value(column(new.queue_position)),
            )
            .col_expr(seat::Column::Restarts, Expr::value(column(new.restarts)))
            .col_expr(seat::Column::Terminals, Expr::value(column(new.terminals)))
            .col_expr(seat::Column::ReadyAt, Expr::value(new.ready_at))
            .col_expr(seat::Column::LastInputAt, Expr::value(new.last_input_at))
            .filter(the_seat(id, new.seat))
            .exec(txn)
            .await?;
        // Keystrokes and tabs are kept, but are no event each.
        let shown = |row: &SeatRow| (row.state, row.reason.clone(), row.queue_position);
        if shown(old) != shown(new) {
            told = true;
            let (verb, object) = (format!("seat.{}", new.state), format!("seat/{}", new.seat));
            record(txn, id, event(&verb, &object, &new.reason), now).await?;
        }
    }
    Ok(told)
}

/// What an agent counted, as a row holds it: one number that does not fit would
/// make every later look at the workshop fail, its deletion too.
fn column(count: u32) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
