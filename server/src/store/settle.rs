//! What the loop asks and writes about one workshop: the wish as the policy
//! reads it, what was seen, what came of it.
//!
//! Way: rows -> [`Settling`] -> observe, plan, apply -> [`Store::save_settled`],
//! which keeps nothing that was settled for an older wish.

use std::{collections::BTreeMap, num::NonZeroU32};

use chrono::{DateTime, Utc};
use clarateach_certs::ca::Ca;
use clarateach_domain::{
    ids::{SeatNo, Slot, WorkshopId},
    limits::Asked,
    microvm::{Resources, Runtime},
    plan::{Ordinal, SeatWant, SeatWish, Want},
    workshop::{Desired, SeatState},
};
use sea_orm::{
    ColumnTrait, Condition, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect, sea_query::Expr,
};

use super::{
    Event, Notice, NoticeKind, Store, StoreError,
    changing::locked,
    entity::{attempt, seat, stay, worker, workshop},
    reading::living,
    record, record_notice,
    text::Text,
    view::egress,
    workers::WorkerRow,
    workshops::sealed,
};

/// Who the loop is in events.
pub(crate) const ACTOR: &str = "reconciler";

/// One workshop as the loop needs it.
pub struct Settling {
    /// The workshop.
    pub id: WorkshopId,
    /// What people call it.
    pub name: String,
    /// What gives its seats machines.
    pub runtime: Runtime,
    /// The wish that this is.
    pub generation: i64,
    /// The wish, as the policy reads it.
    pub want: Want,
    /// The seats' rows as last seen, by number.
    pub seats: Vec<SeatRow>,
    /// Its living workers, by ordinal.
    pub workers: BTreeMap<Ordinal, WorkerRow>,
    /// Tries without success, by ordinal and verb.
    pub attempts: Vec<(Ordinal, String, AttemptRow)>,
    /// Its own authority.
    pub ca: Ca,
    /// Public half of its seat-token key, PEM.
    pub seat_key: String,
    /// What a seat's machine has.
    pub resources: Resources,
    /// What each seat may take, where it was said.
    pub limits: Asked,
    /// The root filesystem.
    pub template: String,
}

/// A seat as it was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatRow {
    /// Its number.
    pub seat: SeatNo,
    /// Where its machine was.
    pub state: SeatState,
    /// Why, for people.
    pub reason: String,
    /// Seats that start before this one.
    pub queue_position: u32,
    /// How often its machine was started again by itself.
    pub restarts: u32,
    /// Terminals open.
    pub terminals: u32,
    /// When its machine first answered in this life.
    pub ready_at: Option<DateTime<Utc>>,
    /// When the learner last typed.
    pub last_input_at: Option<DateTime<Utc>>,
}

/// One try.
#[derive(Debug, Clone)]
pub struct AttemptRow {
    /// When it began.
    pub started_at: DateTime<Utc>,
    /// Why it failed; empty while it is not known to have.
    pub error: String,
    /// Whether another try cannot help until somebody acts.
    pub permanent: bool,
}

impl Store {
    /// Workshops of which something may be left to do: all but the deleted, and those that
    /// are stopped as they should be, unless `resting`.
    pub async fn unsettled(&self, resting: bool) -> Result<Vec<WorkshopId>, StoreError> {
        let mut which = Condition::all().add(living());
        if !resting {
            which = which.add(Expr::cust(
                "NOT (phase = 'stopped' AND desired = 'stopped')",
            ));
        }
        let ids: Vec<String> = workshop::Entity::find()
            .select_only()
            .column(workshop::Column::Id)
            .filter(which)
            .order_by_asc(workshop::Column::CreatedAt)
            .into_tuple()
            .all(&self.db)
            .await?;
        let parse = |id: String| id.parse().map_err(|cause| StoreError::bad("id", cause));
        ids.into_iter().map(parse).collect()
    }

    /// One workshop with all that belongs to it; `None` if there is none.
    pub async fn settling(&self, id: &WorkshopId) -> Result<Option<Settling>, StoreError> {
        let Some(row) = workshop::Entity::find_by_id(id.as_str())
            .one(&self.db)
            .await?
        else {
            return Ok(None);
        };
        let seats = seat::Entity::find()
            .filter(seat::Column::WorkshopId.eq(id.as_str()))
            .order_by_asc(seat::Column::Seat)
            .all(&self.db)
            .await?;
        let workers = worker::Entity::find()
            .filter(worker::Column::WorkshopId.eq(id.as_str()))
            .filter(worker::Column::DeletedAt.is_null())
            .all(&self.db)
            .await?;
        let attempts = attempt::Entity::find()
            .filter(attempt::Column::WorkshopId.eq(id.as_str()))
            .order_by_asc(attempt::Column::Id)
            .all(&self.db)
            .await?;
        let ca_key = self
            .key
            .open_text(sealed::CA_KEY, id.as_str(), &row.ca_key_sealed)?;
        let ca = Ca::from_pem(&row.ca_certificate, &ca_key)
            .map_err(|cause| StoreError::bad("ca_certificate", cause))?;
        let workers = workers.into_iter().map(WorkerRow::read);
        let workers: Result<BTreeMap<_, _>, StoreError> = workers
            .map(|row| row.map(|row| (row.ordinal, row)))
            .collect();
        let attempts = attempts.into_iter().map(|row| {
            let of = ordinal(row.ordinal)?;
            let attempt = AttemptRow {
                started_at: row.started_at,
                error: row.error,
                permanent: row.permanent,
            };
            Ok((of, row.verb, attempt))
        });
        Ok(Some(Settling {
            id: id.clone(),
            generation: row.generation,
            want: Want {
                desired: row.desired.0,
                phase: row.phase.0,
                reason: row.reason,
                ran: row.ran,
                since: row.since,
                expires_at: row.expires_at,
                notified: row.notified.map(small).transpose()?,
                egress: egress(&row.egress),
                seats: seats.iter().map(seat_want).collect::<Result<_, _>>()?,
            },
            seats: seats.into_iter().map(seat_row).collect::<Result<_, _>>()?,
            workers: workers?,
            attempts: attempts.collect::<Result<_, StoreError>>()?,
            ca,
            seat_key: row.seat_key_public,
            resources: Resources {
                vcpus: small(row.vcpus)?,
                memory_mib: small(row.memory_mib)?,
                disk_mib: small(row.disk_mib)?,
            },
            limits: Asked {
                network_mbits: small(row.network_mbits)?,
                disk_mib_per_second: small(row.disk_mib_per_second)?,
                processes: small(row.processes)?,
            },
            template: row.template,
            runtime: row.runtime.0,
            name: row.name,
        }))
    }

    /// Only the wish; `None` if there is no such workshop.
    pub async fn wished(
        &self,
        id: &WorkshopId,
    ) -> Result<Option<(Desired, Vec<SeatWant>)>, StoreError> {
        let row = workshop::Entity::find_by_id(id.as_str());
        let Some(row) = row.one(&self.db).await? else {
            return Ok(None);
        };
        let seats = seat::Entity::find()
            .filter(seat::Column::WorkshopId.eq(id.as_str()))
            .all(&self.db)
            .await?;
        let seats: Result<_, StoreError> = seats.iter().map(seat_want).collect();
        Ok(Some((row.desired.0, seats?)))
    }

    /// The environment of a workshop's shells. Secret.
    pub async fn seat_env(&self, id: &WorkshopId) -> Result<BTreeMap<String, String>, StoreError> {
        let row = workshop::Entity::find_by_id(id.as_str())
            .one(&self.db)
            .await?;
        let Some(row) = row else {
            return Ok(BTreeMap::new());
        };
        let env = self
            .key
            .open_text(sealed::ENV, id.as_str(), &row.env_sealed)?;
        serde_json::from_str(&env).map_err(|cause| StoreError::bad("env_sealed", cause))
    }

    /// The workshop's time is over: from now on it is wanted gone.
    pub async fn expire(&self, id: &WorkshopId, now: DateTime<Utc>) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        let done = workshop::Entity::update_many()
            .col_expr(
                workshop::Column::Desired,
                Expr::value(Text(Desired::Absent)),
            )
            .col_expr(workshop::Column::Since, Expr::value(now))
            .col_expr(
                workshop::Column::Generation,
                Expr::col(workshop::Column::Generation).add(1),
            )
            .filter(workshop::Column::Id.eq(id.as_str()))
            .filter(workshop::Column::Desired.ne(Text(Desired::Absent)))
            .filter(workshop::Column::ExpiresAt.lte(now))
            .exec(&*txn)
            .await?;
        if done.rows_affected > 0 {
            let event = event("workshop.expired", "", "its time is over");
            record(&txn, id, event, now).await?;
        }
        txn.commit().await?;
        self.changed(id);
        Ok(())
    }

    /// Learners were told of the end; `mark` is done with. `message` is the
    /// notice, for Watch streams.
    pub async fn notified(
        &self,
        id: &WorkshopId,
        mark: u32,
        message: &str,
        ends: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        let mark = i32::try_from(mark).unwrap_or(i32::MAX);
        workshop::Entity::update_many()
            .col_expr(workshop::Column::Notified, Expr::value(mark))
            .filter(workshop::Column::Id.eq(id.as_str()))
            .filter(workshop::Column::ExpiresAt.eq(ends))
            .exec(&*txn)
            .await?;
        let data = serde_json::json!({ "kind": "expiring", "at": ends }).to_string();
        let event = Event {
            data: &data,
            ..event("workshop.notice", "", message)
        };
        record(&txn, id, event, now).await?;
        txn.commit().await?;
        self.changed(id);
        Ok(())
    }

    /// Tells Watch streams that a worker is being taken away, or was.
    pub async fn ending(
        &self,
        id: &WorkshopId,
        message: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let notice = Notice {
            kind: NoticeKind::Preempted,
            message: message.to_owned(),
            at: None,
            seat: None,
        };
        let txn = self.begin_write().await?;
        record_notice(&txn, id, ACTOR, &notice, now).await?;
        txn.commit().await?;
        self.changed(id);
        Ok(())
    }

    /// The revoked seat has a fresh machine: anyone may have it.
    pub async fn free_seat(
        &self,
        id: &WorkshopId,
        want: &SeatWant,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        // The workshop first, as everybody does who changes its seats.
        locked(&txn, id).await?;
        let done = seat::Entity::update_many()
            .col_expr(seat::Column::Wish, Expr::value(Text(SeatWish::Kept)))
            .col_expr(seat::Column::StayId, Expr::value(None::<String>))
            .col_expr(
                seat::Column::LastInputAt,
                Expr::value(None::<DateTime<Utc>>),
            )
            .filter(the_seat(id, want.seat))
            // Revoked again meanwhile: another machine has to be fresh.
            .filter(seat::Column::Wish.eq(Text(SeatWish::Revoked)))
            .filter(seat::Column::Incarnation.eq(wide(want.incarnation)))
            .exec(&*txn)
            .await?;
        if done.rows_affected > 0 {
            let object = format!("seat/{}", want.seat);
            let event = event("seat.freed", &object, "its machine is fresh");
            record(&txn, id, event, now).await?;
        }
        txn.commit().await?;
        self.changed(id);
        Ok(())
    }

    /// The removed seat's machine is gone: so is its row.
    pub async fn forget_seat(
        &self,
        id: &WorkshopId,
        gone: SeatNo,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        locked(&txn, id).await?;
        let row = seat::Entity::find()
            .filter(the_seat(id, gone))
            .one(&*txn)
            .await?;
        let removed = |row: &seat::Model| row.wish.0 == SeatWish::Removed;
        if let Some(row) = row.filter(removed) {
            if let Some(stay) = row.stay_id {
                end_stays(&txn, stay::Column::Id.eq(stay), now).await?;
            }
            seat::Entity::delete_many()
                .filter(the_seat(id, gone))
                .exec(&*txn)
                .await?;
            let object = format!("seat/{gone}");
            record(
                &txn,
                id,
                event("seat.removed", &object, "its machine is gone"),
                now,
            )
            .await?;
        }
        txn.commit().await?;
        self.changed(id);
        Ok(())
    }
}

pub(super) fn event<'a>(verb: &'a str, object: &'a str, reason: &'a str) -> Event<'a> {
    Event {
        actor: ACTOR,
        verb,
        object,
        reason,
        data: "",
    }
}

pub(super) fn the_seat(id: &WorkshopId, seat: SeatNo) -> sea_orm::Condition {
    sea_orm::Condition::all()
        .add(seat::Column::WorkshopId.eq(id.as_str()))
        .add(seat::Column::Seat.eq(seat.get()))
}

pub(super) async fn end_stays(
    txn: &DatabaseTransaction,
    whose: sea_orm::sea_query::SimpleExpr,
    now: DateTime<Utc>,
) -> Result<(), StoreError> {
    stay::Entity::update_many()
        .col_expr(stay::Column::EndedAt, Expr::value(now))
        .filter(whose)
        .filter(stay::Column::EndedAt.is_null())
        .exec(txn)
        .await?;
    Ok(())
}

fn seat_want(row: &seat::Model) -> Result<SeatWant, StoreError> {
    Ok(SeatWant {
        seat: seat_no(row.seat)?,
        worker: ordinal(row.worker)?,
        slot: Slot::try_from(small(row.slot)?).map_err(|cause| StoreError::bad("slot", cause))?,
        incarnation: unsigned(row.incarnation)?,
        epoch: unsigned(row.epoch)?,
        wish: row.wish.0,
    })
}

fn seat_row(row: seat::Model) -> Result<SeatRow, StoreError> {
    Ok(SeatRow {
        seat: seat_no(row.seat)?,
        state: row.state.0,
        reason: row.reason,
        queue_position: shown(row.queue_position),
        restarts: shown(row.restarts),
        terminals: shown(row.terminals),
        ready_at: row.ready_at,
        last_input_at: row.last_input_at,
    })
}

fn seat_no(raw: i32) -> Result<SeatNo, StoreError> {
    SeatNo::try_from(small(raw)?).map_err(|cause| StoreError::bad("seat", cause))
}

pub(super) fn ordinal(raw: i32) -> Result<Ordinal, StoreError> {
    NonZeroU32::new(small(raw)?).ok_or_else(|| StoreError::bad("ordinal", raw))
}

fn small(raw: i32) -> Result<u32, StoreError> {
    u32::try_from(raw).map_err(|cause| StoreError::bad("number", cause))
}

/// Of what an agent counted; only shown to people, so never a reason to stop.
fn shown(raw: i32) -> u32 {
    u32::try_from(raw).unwrap_or(0)
}

fn unsigned(raw: i64) -> Result<u64, StoreError> {
    u64::try_from(raw).map_err(|cause| StoreError::bad("number", cause))
}

fn wide(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
