//! Workshops: made, read, changed, wished away.
//!
//! Way: a checked wish -> limits, row, seats, event in one transaction -> the
//! loop does the rest. What a workshop is, people read from [`WorkshopView`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use clarateach_domain::{
    egress::Egress,
    ids::{SeatNo, WorkshopId},
    limits::Asked,
    microvm::{Resources, Runtime},
    plan::{SeatWish, place},
    workshop::{Desired, Phase, SeatState},
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait,
    IsolationLevel, QueryFilter, QueryOrder, QuerySelect, Select, TransactionOptions,
    TransactionTrait,
    sea_query::{Expr, SimpleExpr},
};

use super::{
    Event, Store, StoreError, WriteTxn,
    entity::{principal, seat, stay, worker, workshop},
    limits::{Limits, Refused},
    record,
    requests::{Replay, RequestKey},
    text::Text,
    usual,
    view::{self, Workshop, WorkshopView},
};

/// A workshop that is asked for, checked.
#[derive(Clone)]
pub struct NewWorkshop {
    /// Its id, drawn by the caller.
    pub id: WorkshopId,
    /// The principal that owns it, by id.
    pub owner_id: String,
    /// What people call it.
    pub name: String,
    /// How many seats.
    pub seats: u32,
    /// What gives a seat its machine.
    pub runtime: Runtime,
    /// When it deletes itself.
    pub expires_at: DateTime<Utc>,
    /// Environment of every learner's shell. Secret.
    pub env: BTreeMap<String, String>,
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
    /// The join code, its keys and its CA.
    pub secrets: NewSecrets,
}

/// What is drawn for a new workshop.
#[derive(Clone)]
pub struct NewSecrets {
    /// The join code.
    pub code: clarateach_domain::ids::JoinCode,
    /// The certificate of its own CA, PEM.
    pub ca_certificate: String,
    /// The CA's key, PEM.
    pub ca_key: String,
    /// Public half of the key that signs seat tokens, PEM.
    pub seat_key_public: String,
    /// Private half, PEM.
    pub seat_key: String,
}

/// What changes; absent fields stay as they are.
#[derive(Debug, Clone, Default)]
pub struct Change {
    /// How many seats.
    pub seats: Option<u32>,
    /// When it deletes itself.
    pub expires_at: Option<DateTime<Utc>>,
    /// What people call it.
    pub name: Option<String>,
    /// What learners read.
    pub instructions: Option<String>,
    /// What seats may reach.
    pub egress: Option<Egress>,
    /// Let learners lose seats that must go.
    pub evict: bool,
}

/// One page of workshops.
pub struct Page {
    /// Whose: a principal's id, or everybody's.
    pub owner_id: Option<String>,
    /// At most so many.
    pub size: u64,
    /// Those after this one.
    pub after: Option<WorkshopId>,
    /// Also deleted ones.
    pub deleted: bool,
}

/// What became of a wish.
pub type Answer<T> = Result<Result<T, Refused>, StoreError>;

/// What is sealed of a workshop, by name.
pub mod sealed {
    /// The environment.
    pub const ENV: &str = "env";
    /// The CA's key.
    pub const CA_KEY: &str = "ca key";
    /// The private key that signs seat tokens.
    pub const SEAT_KEY: &str = "seat key";
}

impl Store {
    /// Records the wish for a workshop. A repeat of the same request gets the
    /// first one's id.
    pub async fn create_workshop(
        &self,
        actor: &str,
        new: NewWorkshop,
        key: &RequestKey,
        limits: &Limits,
        now: DateTime<Utc>,
    ) -> Answer<WorkshopId> {
        let row = self.workshop_row(&new, now)?;
        let txn = self.begin_write().await?;
        match self.replay(&txn, key).await? {
            Replay::Fresh => {}
            Replay::Differs => return Ok(Err(Refused::RequestDiffers)),
            Replay::Answered(id) => {
                let id = id
                    .parse()
                    .map_err(|cause| StoreError::bad("answer", cause))?;
                return Ok(Ok(id));
            }
        }
        workshop::Entity::insert(workshop::ActiveModel::from(row))
            .exec_without_returning(&*txn)
            .await?;
        let numbers: Vec<_> = (1..=new.seats).collect();
        add_seats(&txn, &new.id, &numbers, 1, limits).await?;
        if let Err(refused) = limits.check(&txn, &new.owner_id).await? {
            return Ok(Err(refused));
        }
        let event = Event {
            actor,
            verb: "workshop.created",
            object: "",
            reason: &format!("{} seats, {}", new.seats, new.runtime),
            data: "",
        };
        record(&txn, &new.id, event, now).await?;
        self.keep_answer(&txn, key, new.id.as_str(), now).await?;
        txn.commit().await?;
        self.changed(&new.id);
        Ok(Ok(new.id))
    }

    fn workshop_row(
        &self,
        new: &NewWorkshop,
        now: DateTime<Utc>,
    ) -> Result<workshop::Model, StoreError> {
        let id = new.id.as_str();
        let seal = |what, secret: &[u8]| self.key.seal(what, id, secret);
        let json = |value: serde_json::Result<String>| {
            value.map_err(|cause| StoreError::bad("wish", cause))
        };
        let names: Vec<_> = new.env.keys().collect();
        let env = json(serde_json::to_string(&new.env))?;
        Ok(workshop::Model {
            id: id.to_owned(),
            owner_id: new.owner_id.clone(),
            name: new.name.clone(),
            seats: signed(new.seats),
            runtime: Text(new.runtime),
            code: new.secrets.code.as_str().to_owned(),
            desired: Text(Desired::Present),
            phase: Text(Phase::Provisioning),
            reason: "waiting for its workers".to_owned(),
            generation: 1,
            revision: 0,
            ran: false,
            since: now,
            notified: None,
            vcpus: signed(new.resources.vcpus),
            memory_mib: signed(new.resources.memory_mib),
            disk_mib: signed(new.resources.disk_mib),
            network_mbits: signed(new.limits.network_mbits),
            disk_mib_per_second: signed(new.limits.disk_mib_per_second),
            processes: signed(new.limits.processes),
            egress: egress_column(&new.egress)?,
            template: new.template.clone(),
            instructions: new.instructions.clone(),
            env_names: json(serde_json::to_string(&names))?,
            env_sealed: seal(sealed::ENV, env.as_bytes())?,
            ca_certificate: new.secrets.ca_certificate.clone(),
            ca_key_sealed: seal(sealed::CA_KEY, new.secrets.ca_key.as_bytes())?,
            seat_key_public: new.secrets.seat_key_public.clone(),
            seat_key_sealed: seal(sealed::SEAT_KEY, new.secrets.seat_key.as_bytes())?,
            created_at: now,
            expires_at: new.expires_at,
            deleted_at: None,
        })
    }

    /// One workshop, without workers and seats. The view is whoever's: the
    /// caller asks the policy.
    pub async fn workshop(&self, id: &WorkshopId) -> Result<Option<Workshop>, StoreError> {
        one(&self.db, id).await
    }

    /// One workshop with its workers and seats, as of one moment.
    pub async fn workshop_view(&self, id: &WorkshopId) -> Result<Option<WorkshopView>, StoreError> {
        // One read transaction: on SQLite it is a snapshot, on PostgreSQL if it is told to.
        let postgres = self.db.get_database_backend() == DbBackend::Postgres;
        let options = TransactionOptions {
            isolation_level: postgres.then_some(IsolationLevel::RepeatableRead),
            ..TransactionOptions::default()
        };
        let txn = self.db.begin_with_options(options).await?;
        let Some(workshop) = one(&txn, id).await? else {
            return Ok(None);
        };
        let workers = worker::Entity::find()
            .filter(worker::Column::WorkshopId.eq(id.as_str()))
            .filter(worker::Column::DeletedAt.is_null())
            .order_by_asc(worker::Column::Ordinal)
            .all(&txn)
            .await?;
        let seats = seats_of(&txn, id).all(&txn).await?;
        let stays = stay::Entity::find()
            .filter(stay::Column::WorkshopId.eq(id.as_str()))
            .filter(stay::Column::EndedAt.is_null())
            .all(&txn)
            .await?;
        let usual = if seats.iter().any(usual::waits) {
            usual::wait(&txn).await?
        } else {
            None
        };
        txn.commit().await?;
        let mut stays: HashMap<_, _> = stays.into_iter().map(|s| (s.id.clone(), s)).collect();
        let phase = workshop.phase;
        let seats = seats.into_iter().map(|mut row| {
            if let Some(usual) = usual.filter(|_| usual::waits(&row)) {
                row.reason = usual::said(usual);
            }
            let stay = row.stay_id.as_ref().and_then(|id| stays.remove(id));
            view::seat(row, stay, phase)
        });
        Ok(Some(WorkshopView {
            seats: seats.collect::<Result<_, _>>()?,
            workers: workers.into_iter().map(view::worker).collect(),
            workshop,
        }))
    }

    /// Workshops, newest first.
    pub async fn workshops(&self, page: &Page) -> Result<Vec<Workshop>, StoreError> {
        let mut query = workshop::Entity::find();
        if let Some(owner) = &page.owner_id {
            query = query.filter(workshop::Column::OwnerId.eq(owner));
        }
        if !page.deleted {
            query = query.filter(living());
        }
        if let Some(after) = &page.after {
            let Some(last) = workshop::Entity::find_by_id(after.as_str())
                .one(&self.db)
                .await?
            else {
                return Ok(Vec::new());
            };
            // Both say what the second alone would; the first is where the index begins.
            query = query
                .filter(workshop::Column::CreatedAt.lte(last.created_at))
                .filter(
                    Condition::any()
                        .add(workshop::Column::CreatedAt.lt(last.created_at))
                        .add(workshop::Column::Id.gt(last.id)),
                );
        }
        let rows = query
            .order_by_desc(workshop::Column::CreatedAt)
            .order_by_asc(workshop::Column::Id)
            .limit(page.size)
            .all(&self.db)
            .await?;
        let whose: BTreeSet<_> = rows.iter().map(|row| row.owner_id.as_str()).collect();
        let owners: HashMap<_, _> = principal::Entity::find()
            .filter(principal::Column::Id.is_in(whose))
            .all(&self.db)
            .await?
            .into_iter()
            .map(|owner| (owner.id, owner.name))
            .collect();
        rows.into_iter()
            .map(|row| {
                let owner = owners.get(&row.owner_id).cloned().unwrap_or_default();
                view::workshop(row, &owner)
            })
            .collect()
    }

    /// Changes a workshop that is not being removed.
    pub async fn update_workshop(
        &self,
        actor: &str,
        id: &WorkshopId,
        change: &Change,
        key: &RequestKey,
        limits: &Limits,
        now: DateTime<Utc>,
    ) -> Answer<()> {
        let txn = self.begin_write().await?;
        let Some(row) = locked(&txn, id).await? else {
            return Ok(Err(Refused::Unknown));
        };
        match self.replay(&txn, key).await? {
            Replay::Fresh => {}
            Replay::Differs => return Ok(Err(Refused::RequestDiffers)),
            Replay::Answered(_) => return Ok(Ok(())),
        }
        if let Err(refused) = alive(&row, now) {
            return Ok(Err(refused));
        }
        let mut said = Vec::new();
        let mut data = String::new();
        let mut next: workshop::ActiveModel = row.clone().into();
        next.generation = Set(row.generation + 1);
        if let Some(name) = &change.name {
            next.name = Set(name.clone());
            said.push(format!("name {name:?}"));
        }
        if let Some(text) = &change.instructions {
            next.instructions = Set(text.clone());
            said.push("instructions".to_owned());
        }
        if let Some(egress) = &change.egress {
            let column = egress_column(egress)?;
            data = format!(r#"{{"egress":{column}}}"#);
            next.egress = Set(column);
            said.push(format!("egress {}", egress.mode()));
        }
        if let Some(end) = change.expires_at {
            next.expires_at = Set(end);
            // The notices of the new end are due again.
            next.notified = Set(None);
            said.push(format!("ends {end}"));
        }
        if let Some(seats) = change.seats {
            let resized = resize(&txn, &row, seats, change.evict, limits, now).await?;
            let Ok(changed) = resized else {
                return Ok(resized.map(|_| ()));
            };
            next.seats = Set(signed(seats));
            if changed && row.desired.0 == Desired::Present {
                next.since = Set(now);
            }
            said.push(format!("{seats} seats"));
        }
        workshop::Entity::update(next).exec(&*txn).await?;
        if let Err(refused) = limits.check(&txn, &row.owner_id).await? {
            return Ok(Err(refused));
        }
        let event = Event {
            actor,
            verb: "workshop.updated",
            object: "",
            reason: &said.join(", "),
            data: &data,
        };
        record(&txn, id, event, now).await?;
        self.keep_answer(&txn, key, "", now).await?;
        txn.commit().await?;
        self.changed(id);
        Ok(Ok(()))
    }

    /// Wishes a workshop away. Asked twice, nothing changes.
    pub async fn delete_workshop(
        &self,
        actor: &str,
        id: &WorkshopId,
        key: &RequestKey,
        now: DateTime<Utc>,
    ) -> Answer<()> {
        let txn = self.begin_write().await?;
        let Some(row) = locked(&txn, id).await? else {
            return Ok(Err(Refused::Unknown));
        };
        match self.replay(&txn, key).await? {
            Replay::Fresh => {}
            Replay::Differs => return Ok(Err(Refused::RequestDiffers)),
            Replay::Answered(_) => return Ok(Ok(())),
        }
        if row.desired.0 != Desired::Absent {
            let next = workshop::ActiveModel {
                id: Set(row.id.clone()),
                desired: Set(Text(Desired::Absent)),
                phase: Set(Text(Phase::Deleting)),
                reason: Set("removing its seats and workers".to_owned()),
                generation: Set(row.generation + 1),
                since: Set(now),
                ..Default::default()
            };
            workshop::Entity::update(next).exec(&*txn).await?;
            let event = Event {
                actor,
                verb: "workshop.deleted",
                object: "",
                reason: "asked to",
                data: "",
            };
            record(&txn, id, event, now).await?;
        }
        self.keep_answer(&txn, key, "", now).await?;
        txn.commit().await?;
        self.changed(id);
        Ok(Ok(()))
    }
}

/// Those that are not deleted. In words, not as a value: a database takes the index of
/// just these only when it reads the condition in the query.
pub(super) fn living() -> SimpleExpr {
    Expr::cust("phase <> 'deleted'")
}

fn egress_column(egress: &Egress) -> Result<String, StoreError> {
    serde_json::to_string(egress).map_err(|cause| StoreError::bad("egress", cause))
}

/// Refuses to change what is over.
pub(super) fn alive(row: &workshop::Model, now: DateTime<Utc>) -> Result<(), Refused> {
    if row.desired.0 == Desired::Absent {
        return Err(Refused::Deleting);
    }
    if now >= row.expires_at {
        return Err(Refused::Over);
    }
    Ok(())
}

/// The workshop's row, which nobody else changes until the transaction ends.
pub(super) async fn locked(
    txn: &WriteTxn,
    id: &WorkshopId,
) -> Result<Option<workshop::Model>, StoreError> {
    let mut query = workshop::Entity::find_by_id(id.as_str());
    if txn.get_database_backend() == DbBackend::Postgres {
        query = query.lock_exclusive();
    }
    Ok(query.one(&**txn).await?)
}

async fn one(db: &impl ConnectionTrait, id: &WorkshopId) -> Result<Option<Workshop>, StoreError> {
    let Some(row) = workshop::Entity::find_by_id(id.as_str()).one(db).await? else {
        return Ok(None);
    };
    let owner = principal::Entity::find_by_id(&row.owner_id).one(db).await?;
    let owner = owner.map(|owner| owner.name).unwrap_or_default();
    view::workshop(row, &owner).map(Some)
}

fn seats_of<C: ConnectionTrait>(_: &C, id: &WorkshopId) -> Select<seat::Entity> {
    seat::Entity::find()
        .filter(seat::Column::WorkshopId.eq(id.as_str()))
        .order_by_asc(seat::Column::Seat)
}

/// Columns are signed; what was checked at the door fits.
pub(super) fn signed(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

async fn add_seats(
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
async fn resize(
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
        let taken: std::collections::HashSet<_> =
            rows.iter().map(|row| view::unsigned(row.seat)).collect();
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
