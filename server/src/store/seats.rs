//! Seats: taken, held, reset, taken back.
//!
//! Way: a join code -> one statement claims the best free seat -> stay, event
//! and answer in the same transaction. A seat is free again only after the loop
//! has seen its machine fresh (`FreeSeat`).

use chrono::{DateTime, Utc};
use clarateach_domain::{
    ids::{JoinCode, ReconnectCode, SeatNo, StayId, WorkshopId},
    plan::SeatWish,
    workshop::{Desired, Phase, SeatState},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait,
    ExprTrait, Order, PaginatorTrait, QueryFilter,
    sea_query::{CaseStatement, Expr, LockBehavior, LockType, Query, SelectStatement},
};
use zeroize::Zeroizing;

use super::{
    Event, Store, StoreError, WriteTxn,
    changing::{Begun, locked},
    entity::{seat, stay, workshop},
    limits::Refused,
    principals::hash,
    record,
    requests::{Replay, RequestKey},
    resizing::end_stay,
    text::Text,
    view::{unsigned, unsigned_big},
    workshops::{Answer, alive, sealed, signed},
};

/// A learner who wants in, checked.
pub struct Join {
    /// The workshop that the code opens.
    pub workshop: WorkshopId,
    /// What they call themselves; may be empty.
    pub display_name: String,
    /// From an earlier join.
    pub reconnect: Option<ReconnectCode>,
    /// For repeats.
    pub key: RequestKey,
    /// Drawn for a new stay: its id, its learner's, its reconnect code.
    pub fresh: FreshStay,
}

/// What is drawn for a new stay.
pub struct FreshStay {
    /// Names the stay.
    pub stay: StayId,
    /// Names the learner in tokens.
    pub learner: String,
    /// Brings them back.
    pub reconnect: ReconnectCode,
}

/// A stay and all that a seat token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    /// Names it.
    pub id: StayId,
    /// Names the learner.
    pub learner: String,
    /// The workshop.
    pub workshop: WorkshopId,
    /// The seat.
    pub seat: SeatNo,
    /// The seat's epoch now.
    pub epoch: u64,
}

/// A seat that was taken, or is held still.
pub struct Joined {
    /// The stay.
    pub stay: Stay,
    /// Brings the learner back.
    pub reconnect: ReconnectCode,
}

/// How a learner's seat is changed under them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Upheaval {
    /// A fresh machine, the same learner.
    Reset,
    /// A fresh machine, and then anybody.
    Revoke,
}

impl Store {
    /// The workshop that a join code opens, unless it is gone for good: then
    /// the code is as unknown as any other.
    pub async fn workshop_by_code(
        &self,
        code: &JoinCode,
    ) -> Result<Option<WorkshopId>, StoreError> {
        let row = workshop::Entity::find()
            .filter(workshop::Column::Code.eq(code.as_str()))
            .filter(workshop::Column::Phase.ne(Text(Phase::Deleted)))
            .one(&self.db)
            .await?;
        row.map(|row| row.id.parse())
            .transpose()
            .map_err(|cause| StoreError::bad("workshop id", cause))
    }

    /// Takes a free seat, or with a reconnect code finds the learner's own.
    pub async fn join(&self, join: Join, now: DateTime<Utc>) -> Answer<Joined> {
        let txn = self.begin_write().await?;
        let Some(row) = locked(&txn, &join.workshop).await? else {
            return Ok(Err(Refused::Unknown));
        };
        if let Err(refused) = open_for_learners(&row, now) {
            return Ok(Err(refused));
        }
        match self.replay(&txn, &join.key).await? {
            Replay::Fresh => {}
            Replay::Differs => return Ok(Err(Refused::RequestDiffers)),
            Replay::Answered(code) => return again(&txn, &join, &code, Refused::StayOver).await,
        }
        if let Some(code) = &join.reconnect {
            return again(&txn, &join, code.as_str(), Refused::ReconnectUnknown).await;
        }
        let Some(seat) = claim(&txn, &join).await? else {
            return full(&txn, &row).await;
        };
        let joined = admit(&txn, &join, &seat, now).await?;
        self.keep_answer(&txn, &join.key, joined.reconnect.as_str(), now)
            .await?;
        txn.commit().await?;
        self.changed(&join.workshop);
        Ok(Ok(joined))
    }

    /// The stay that `sid` names, if it still holds its seat.
    pub async fn stay(
        &self,
        workshop: &WorkshopId,
        sid: &StayId,
    ) -> Result<Option<Stay>, StoreError> {
        let row = stay::Entity::find_by_id(sid.as_str())
            .filter(stay::Column::WorkshopId.eq(workshop.as_str()))
            .filter(stay::Column::EndedAt.is_null())
            .one(&self.db)
            .await?;
        match row {
            Some(row) => held(&self.db, row).await,
            None => Ok(None),
        }
    }

    /// The private key that signs a workshop's seat tokens, PEM.
    pub async fn seat_key(
        &self,
        workshop: &WorkshopId,
    ) -> Result<Option<Zeroizing<String>>, StoreError> {
        let row = workshop::Entity::find_by_id(workshop.as_str())
            .one(&self.db)
            .await?;
        let open = |row: workshop::Model| {
            self.key
                .open_text(sealed::SEAT_KEY, &row.id, &row.seat_key_sealed)
        };
        Ok(row.map(open).transpose()?)
    }

    /// Resets a seat or takes it from its learner.
    pub async fn upheave(
        &self,
        actor: &str,
        workshop: &WorkshopId,
        number: SeatNo,
        how: Upheaval,
        key: &RequestKey,
        now: DateTime<Utc>,
    ) -> Answer<()> {
        let (txn, row) = match self.begin_change(workshop, key).await? {
            Begun::Open(txn, row) => (txn, row),
            Begun::Over(answer) => return Ok(answer),
        };
        if let Err(refused) = alive(&row, now) {
            return Ok(Err(refused));
        }
        let seat = seat::Entity::find_by_id((workshop.to_string(), signed(number.get())))
            .filter(seat::Column::Wish.ne(Text(SeatWish::Removed)))
            .one(&*txn)
            .await?;
        let Some(seat) = seat else {
            return Ok(Err(Refused::Unknown));
        };
        if how == Upheaval::Revoke && seat.stay_id.is_none() {
            // Already taken back, or never taken: nothing to do twice.
            return Ok(match seat.wish.0 {
                SeatWish::Revoked => Ok(()),
                SeatWish::Kept | SeatWish::Removed => Err(Refused::SeatFree),
            });
        }
        let mut next = seat::ActiveModel {
            workshop_id: Set(seat.workshop_id.clone()),
            seat: Set(seat.seat),
            incarnation: Set(seat.incarnation + 1),
            epoch: Set(seat.epoch + 1),
            state: Set(Text(SeatState::Waiting)),
            reason: Set("a fresh machine is on its way".to_owned()),
            ready_at: Set(None),
            restarts: Set(0),
            ..Default::default()
        };
        if how == Upheaval::Revoke {
            end_stay(&txn, &seat, now).await?;
            next.stay_id = Set(None);
            next.wish = Set(Text(SeatWish::Revoked));
        }
        seat::Entity::update(next).exec(&*txn).await?;
        bump(&txn, &row).await?;
        let event = Event {
            actor,
            verb: match how {
                Upheaval::Reset => "seat.reset",
                Upheaval::Revoke => "seat.revoked",
            },
            object: &format!("seat/{number}"),
            reason: "asked to",
            data: "",
        };
        record(&txn, workshop, event, now).await?;
        self.end_change(txn, workshop, key, now).await?;
        Ok(Ok(()))
    }
}

/// A new wish: what was settled for the old one is not saved over it.
async fn bump(txn: &DatabaseTransaction, row: &workshop::Model) -> Result<(), StoreError> {
    let next = workshop::ActiveModel {
        id: Set(row.id.clone()),
        generation: Set(row.generation + 1),
        ..Default::default()
    };
    workshop::Entity::update(next).exec(txn).await?;
    Ok(())
}

fn open_for_learners(row: &workshop::Model, now: DateTime<Utc>) -> Result<(), Refused> {
    match (row.desired.0, row.phase.0) {
        (Desired::Absent, _) => Err(Refused::Over),
        _ if now >= row.expires_at => Err(Refused::Over),
        (_, Phase::Failed) => Err(Refused::Failed),
        (Desired::Stopped, _) | (_, Phase::Stopped | Phase::Stopping) => Err(Refused::Stopped),
        (
            Desired::Present,
            Phase::Provisioning
            | Phase::Running
            | Phase::Degraded
            | Phase::Deleting
            | Phase::Deleted,
        ) => Ok(()),
    }
}

/// The free seats of a workshop, best first: ready ones, then those to come,
/// then broken ones; the lowest number among equals.
fn best_free(workshop: &WorkshopId) -> SelectStatement {
    let rank = CaseStatement::new()
        .case(seat::Column::State.eq(Text(SeatState::Ready)), 0)
        .case(seat::Column::State.eq(Text(SeatState::Failed)), 2)
        .finally(1);
    let mut query = Query::select();
    query
        .column(seat::Column::Seat)
        .from(seat::Entity)
        .and_where(seat::Column::WorkshopId.eq(workshop.as_str()))
        .and_where(seat::Column::StayId.is_null())
        .and_where(seat::Column::Wish.eq(Text(SeatWish::Kept)))
        .order_by_expr(rank.into(), Order::Asc)
        .order_by(seat::Column::Seat, Order::Asc)
        .limit(1);
    query
}

/// Takes the best free seat in one statement.
async fn claim(txn: &WriteTxn, join: &Join) -> Result<Option<seat::Model>, StoreError> {
    let mut best = best_free(&join.workshop);
    if txn.get_database_backend() == DbBackend::Postgres {
        best.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked);
    }
    let rows = seat::Entity::update_many()
        .col_expr(
            seat::Column::StayId,
            Expr::value(join.fresh.stay.to_string()),
        )
        .filter(seat::Column::WorkshopId.eq(join.workshop.as_str()))
        .filter(Expr::col(seat::Column::Seat).eq(Expr::SubQuery(None, Box::new(best.into()))))
        .filter(seat::Column::StayId.is_null())
        .exec_with_returning(&**txn)
        .await?;
    Ok(rows.into_iter().next())
}

/// Writes the stay of a claimed seat.
async fn admit(
    txn: &WriteTxn,
    join: &Join,
    seat: &seat::Model,
    now: DateTime<Utc>,
) -> Result<Joined, StoreError> {
    let row = stay::Model {
        id: join.fresh.stay.to_string(),
        workshop_id: join.workshop.to_string(),
        seat: seat.seat,
        learner_id: join.fresh.learner.clone(),
        display_name: join.display_name.clone(),
        reconnect_hash: hash(join.fresh.reconnect.as_str()),
        joined_at: now,
        ended_at: None,
    };
    stay::Entity::insert(stay::ActiveModel::from(row.clone()))
        .exec_without_returning(&**txn)
        .await?;
    let event = Event {
        actor: &row.id,
        verb: "seat.claimed",
        object: &format!("seat/{}", seat.seat),
        reason: "joined with the code",
        data: "",
    };
    record(txn, &join.workshop, event, now).await?;
    Ok(Joined {
        stay: stay_of(&row, seat.epoch)?,
        reconnect: join.fresh.reconnect.clone(),
    })
}

/// The stay that a reconnect code belongs to, in this workshop.
async fn again(txn: &WriteTxn, join: &Join, code: &str, otherwise: Refused) -> Answer<Joined> {
    let row = stay::Entity::find()
        .filter(stay::Column::ReconnectHash.eq(hash(code)))
        .filter(stay::Column::WorkshopId.eq(join.workshop.as_str()))
        .filter(stay::Column::EndedAt.is_null())
        .one(&**txn)
        .await?;
    let Some(row) = row else {
        return Ok(Err(otherwise));
    };
    let stay = held(&**txn, row).await?;
    let reconnect = code
        .parse()
        .map_err(|cause| StoreError::bad("answer", cause))?;
    Ok(stay.map(|stay| Joined { stay, reconnect }).ok_or(otherwise))
}

async fn held(db: &impl ConnectionTrait, row: stay::Model) -> Result<Option<Stay>, StoreError> {
    let seat = seat::Entity::find_by_id((row.workshop_id.clone(), row.seat))
        .filter(seat::Column::StayId.eq(&row.id))
        .one(db)
        .await?;
    seat.map(|seat| stay_of(&row, seat.epoch)).transpose()
}

fn stay_of(row: &stay::Model, epoch: i64) -> Result<Stay, StoreError> {
    let bad = |cause: &dyn std::fmt::Display| StoreError::bad("stay", cause);
    Ok(Stay {
        id: row.id.parse().map_err(|cause| bad(&cause))?,
        learner: row.learner_id.clone(),
        workshop: row.workshop_id.parse().map_err(|cause| bad(&cause))?,
        seat: unsigned(row.seat).try_into().map_err(|cause| bad(&cause))?,
        epoch: unsigned_big(epoch),
    })
}

async fn full(txn: &WriteTxn, row: &workshop::Model) -> Answer<Joined> {
    let soon = seat::Entity::find()
        .filter(
            Condition::all()
                .add(seat::Column::WorkshopId.eq(&row.id))
                .add(seat::Column::StayId.is_null())
                .add(seat::Column::Wish.eq(Text(SeatWish::Revoked))),
        )
        .count(&**txn)
        .await?;
    Ok(Err(Refused::Full {
        seats: unsigned(row.seats),
        soon: soon > 0,
    }))
}
