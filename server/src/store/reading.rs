//! Workshops read: one, all of one as of one moment, a page of them.

use std::collections::{BTreeSet, HashMap};

use clarateach_domain::ids::WorkshopId;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbBackend, EntityTrait, IsolationLevel, QueryFilter,
    QueryOrder, QuerySelect, Select, TransactionOptions, TransactionTrait,
    sea_query::{Expr, SimpleExpr},
};

use super::{
    Store, StoreError,
    entity::{principal, seat, stay, worker, workshop},
    usual,
    view::{self, Workshop, WorkshopView},
};

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

impl Store {
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
}

/// Those that are not deleted. In words, not as a value: a database takes the index of
/// just these only when it reads the condition in the query.
pub(super) fn living() -> SimpleExpr {
    Expr::cust("phase <> 'deleted'")
}

async fn one(db: &impl ConnectionTrait, id: &WorkshopId) -> Result<Option<Workshop>, StoreError> {
    let Some(row) = workshop::Entity::find_by_id(id.as_str()).one(db).await? else {
        return Ok(None);
    };
    let owner = principal::Entity::find_by_id(&row.owner_id).one(db).await?;
    let owner = owner.map(|owner| owner.name).unwrap_or_default();
    view::workshop(row, &owner).map(Some)
}

pub(super) fn seats_of<C: ConnectionTrait>(_: &C, id: &WorkshopId) -> Select<seat::Entity> {
    seat::Entity::find()
        .filter(seat::Column::WorkshopId.eq(id.as_str()))
        .order_by_asc(seat::Column::Seat)
}
