//! Leases: who may do alone what only one control plane may do at a time.
//!
//! Way: [`Store::take`] -> a [`Lease`] with its epoch -> [`Store::hold`] works under it,
//! renewing it meanwhile -> every transaction that is begun there looks whether the epoch
//! is still the lease's ([`check`]) and keeps it so until it ends. Whoever was asleep or
//! cut off comes back with an old epoch, and nothing it writes is kept.
//!
//! | the row says | asked by | the answer |
//! |---|---|---|
//! | nothing | anybody | theirs, epoch 1 |
//! | it ran out, or was given back | anybody | theirs, the next epoch |
//! | it is held | its holder | theirs, the next epoch: what they began before is void |
//! | it is held | another | how long it lasts |
//!
//! It runs out by the database's clock, inside the statement that takes it. Its holder
//! stops earlier, by its own clock: `domain::lease`.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use clarateach_domain::lease::{Holding, LIFE, holding};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, ExprTrait,
    QueryFilter, Statement, Value,
    sea_query::{Expr, SimpleExpr},
};
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use super::{Store, StoreError, entity::lease};

/// The pause after a renewal that the database refused.
const AGAIN: Duration = Duration::from_millis(500);
/// Rows of leases that nobody has asked for so long are removed.
const FORGOTTEN: Duration = Duration::from_hours(24);

tokio::task_local! {
    /// The lease that this task works under. No argument: a write that somebody forgot
    /// to pass it to would be the one that a stale holder makes.
    static UNDER: Lease;
}

/// A lease that was taken.
#[derive(Debug, Clone)]
pub struct Lease {
    name: Arc<str>,
    holder: Arc<str>,
    epoch: i64,
    /// When its last renewal was asked for.
    renewed: Arc<Mutex<Instant>>,
}

/// What came of asking for one.
#[derive(Debug)]
pub enum Taken {
    /// It is the asker's.
    Mine(Lease),
    /// Another has it, for so long unless it is renewed.
    Others(Duration),
}

impl Lease {
    fn holding(&self) -> Holding {
        let renewed = *self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        holding(renewed.elapsed())
    }

    fn renewed_at(&self, asked: Instant) {
        *self.renewed.lock().unwrap_or_else(PoisonError::into_inner) = asked;
    }
}

/// Whether this task may begin an effect on the world: it holds no lease that it should
/// have renewed. Asked right before each, since a transaction cannot fence what is outside
/// the database.
pub fn may_act() -> Result<(), StoreError> {
    let stale = UNDER.try_with(|lease| match lease.holding() {
        Holding::Stops => Some(lease.name.to_string()),
        Holding::Acts(_) | Holding::Renews(_) => None,
    });
    match stale {
        Ok(Some(name)) => Err(StoreError::Stale(name)),
        Ok(None) | Err(_) => Ok(()),
    }
}

/// Refuses the transaction of a stale holder. The row stays as it is until the
/// transaction ends, so that nobody takes the lease meanwhile.
pub(super) async fn check(txn: &DatabaseTransaction) -> Result<(), StoreError> {
    let Ok(under) = UNDER.try_with(Clone::clone) else {
        return Ok(());
    };
    let backend = txn.get_database_backend();
    let lock = if backend == DbBackend::Postgres {
        " FOR SHARE"
    } else {
        "" // the transaction is the only writer
    };
    let sql =
        format!("SELECT fence FROM leases WHERE name = $1 AND holder = $2 AND fence = $3{lock}");
    let row = txn
        .query_one_raw(Statement::from_sql_and_values(
            backend,
            sql,
            [text(&under.name), text(&under.holder), under.epoch.into()],
        ))
        .await?;
    row.map(drop)
        .ok_or_else(|| StoreError::Stale(under.name.to_string()))
}

fn text(value: &str) -> Value {
    value.into()
}

fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

/// The database's clock, as an expression.
fn clock(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "(EXTRACT(EPOCH FROM clock_timestamp()) * 1000)::bigint",
        DbBackend::MySql | DbBackend::Sqlite | _ => {
            "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"
        }
    }
}

impl Store {
    /// Takes a lease, unless another has it.
    pub async fn take(&self, name: &str, holder: &str) -> Result<Taken, StoreError> {
        self.take_for(name, holder, LIFE).await
    }

    async fn take_for(
        &self,
        name: &str,
        holder: &str,
        life: Duration,
    ) -> Result<Taken, StoreError> {
        let backend = self.db.get_database_backend();
        let now = clock(backend);
        let sql = format!(
            "INSERT INTO leases (name, holder, fence, expires_millis)
             VALUES ($1, $2, 1, {now} + $3)
             ON CONFLICT (name) DO UPDATE SET
               fence = leases.fence + 1,
               holder = excluded.holder,
               expires_millis = excluded.expires_millis
             WHERE leases.holder = excluded.holder OR leases.expires_millis <= {now}
             RETURNING fence"
        );
        let asked = Instant::now();
        let txn = self.begin_write().await?;
        let values = [text(name), text(holder), millis(life).into()];
        let taken = txn
            .query_one_raw(Statement::from_sql_and_values(backend, sql, values))
            .await?;
        let Some(row) = taken else {
            let sql = format!("SELECT expires_millis - {now} AS rest FROM leases WHERE name = $1");
            let left = txn
                .query_one_raw(Statement::from_sql_and_values(backend, sql, [text(name)]))
                .await?;
            let left = left.map_or(Ok(0), |row| row.try_get::<i64>("", "rest"))?;
            let left = u64::try_from(left).unwrap_or_default();
            return Ok(Taken::Others(Duration::from_millis(left)));
        };
        let epoch = row.try_get("", "fence")?;
        txn.commit().await?;
        Ok(Taken::Mine(Lease {
            name: name.into(),
            holder: holder.into(),
            epoch,
            renewed: Arc::new(Mutex::new(asked)),
        }))
    }

    /// Does `work` under the lease. `None` if the lease was lost meanwhile: the work breaks
    /// off where it is, as it does in a crash.
    pub async fn hold<T>(&self, lease: &Lease, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.until_lost(lease) => None,
            done = UNDER.scope(lease.clone(), work) => Some(done),
        }
    }

    async fn until_lost(&self, lease: &Lease) {
        loop {
            let patience = match lease.holding() {
                Holding::Stops => return,
                Holding::Acts(due) => {
                    sleep(due).await;
                    continue;
                }
                Holding::Renews(patience) => patience,
            };
            let asked = Instant::now();
            match timeout(patience, self.renew(lease)).await {
                Ok(Ok(true)) => lease.renewed_at(asked),
                Ok(Ok(false)) | Err(_) => return,
                Ok(Err(cause)) => {
                    warn!(error = ?cause, "lease could not be renewed");
                    sleep(AGAIN).await;
                }
            }
        }
    }

    async fn renew(&self, lease: &Lease) -> Result<bool, StoreError> {
        let backend = self.db.get_database_backend();
        let sql = format!(
            "UPDATE leases SET expires_millis = {} + $1
             WHERE name = $2 AND holder = $3 AND fence = $4",
            clock(backend)
        );
        let values = [
            millis(LIFE).into(),
            text(&lease.name),
            text(&lease.holder),
            lease.epoch.into(),
        ];
        let txn = self.begin_write().await?;
        let done = txn
            .execute_raw(Statement::from_sql_and_values(backend, sql, values))
            .await?;
        txn.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Gives a lease back. Its row stays, and with it its epoch.
    pub async fn release(&self, lease: &Lease) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        lease::Entity::update_many()
            .col_expr(lease::Column::ExpiresMillis, self.clock())
            .filter(lease::Column::Name.eq(&*lease.name))
            .filter(lease::Column::Holder.eq(&*lease.holder))
            .filter(lease::Column::Fence.eq(lease.epoch))
            .exec(&*txn)
            .await?;
        txn.commit().await
    }

    /// Forgets leases that nobody has had for a day, those of workshops that are gone:
    /// whoever held one then has stopped by its own clock long ago.
    pub async fn forget_leases(&self) -> Result<u64, StoreError> {
        let txn = self.begin_write().await?;
        let last = ExprTrait::sub(self.clock(), millis(FORGOTTEN));
        let gone = lease::Entity::delete_many()
            .filter(Expr::col(lease::Column::ExpiresMillis).lt(last))
            .exec(&*txn)
            .await?
            .rows_affected;
        txn.commit().await?;
        Ok(gone)
    }

    fn clock(&self) -> SimpleExpr {
        Expr::cust(clock(self.db.get_database_backend()))
    }

    /// At start, on SQLite: the file has one server at a time, so whoever holds
    /// a lease is dead. On PostgreSQL leases run out by themselves.
    pub async fn drop_leases_of_the_dead(&self) -> Result<(), StoreError> {
        if self.db.get_database_backend() == DbBackend::Sqlite {
            let txn = self.begin_write().await?;
            lease::Entity::update_many()
                .col_expr(lease::Column::ExpiresMillis, self.clock())
                .exec(&*txn)
                .await?;
            txn.commit().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clarateach_domain::{ids::WorkshopId, lease::STOP};

    use super::*;
    use crate::store::{Event, postgres_of_tests, sealing::MasterKey};

    /// One store on each database that this machine has.
    async fn stores(dir: &std::path::Path) -> Vec<(&'static str, Store)> {
        let key = || MasterKey::load_or_make(&dir.join("master.key")).unwrap();
        let sqlite = Store::open(&dir.join("leases.db"), key()).await.unwrap();
        let mut stores = vec![("SQLite", sqlite)];
        if let Some(why) = postgres_of_tests::missing() {
            println!("SKIPPED: leases on PostgreSQL: {why}");
            return stores;
        }
        let name = dir.file_name().unwrap().to_str().unwrap().to_lowercase();
        let name: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
        let url = postgres_of_tests::shared().database(&format!("leases{name}"));
        let postgres = Store::open_postgres(&url, key()).await.unwrap();
        stores.push(("PostgreSQL", postgres));
        stores
    }

    fn epoch(taken: Taken) -> Option<i64> {
        match taken {
            Taken::Mine(lease) => Some(lease.epoch),
            Taken::Others(left) => {
                assert!(left <= LIFE);
                None
            }
        }
    }

    #[tokio::test]
    async fn a_lease_is_taken_as_the_table_says() {
        let dir = tempfile::tempdir().unwrap();
        for (database, store) in stores(dir.path()).await {
            // Who asks, for how long, and the epoch they get.
            for (n, (asker, life, want)) in [
                ("a", LIFE, Some(1)),           // nothing is there
                ("b", LIFE, None),              // it is held
                ("a", Duration::ZERO, Some(2)), // by its holder
                ("b", LIFE, Some(3)),           // it ran out
                ("a", LIFE, None),
            ]
            .into_iter()
            .enumerate()
            {
                let taken = store.take_for("l", asker, life).await.unwrap();
                assert_eq!(epoch(taken), want, "{database}, step {n}");
            }
            let Taken::Mine(held) = store.take("l", "b").await.unwrap() else {
                panic!("{database}: its holder may have it again");
            };
            store.release(&held).await.unwrap();
            let next = store.take("l", "a").await.unwrap();
            assert_eq!(epoch(next), Some(5), "{database}: given back, epochs go on");
            assert!(!store.renew(&held).await.unwrap(), "{database}");
            assert_eq!(store.forget_leases().await.unwrap(), 0, "{database}");
        }
    }

    #[tokio::test]
    async fn a_stale_holder_writes_nothing_and_begins_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let id = WorkshopId::from_random([7; 16]);
        let note = Event {
            actor: "test",
            verb: "test.noted",
            object: "",
            reason: "",
            data: "",
        };
        for (database, store) in stores(dir.path()).await {
            let Taken::Mine(old) = store.take_for("l", "a", Duration::ZERO).await.unwrap() else {
                panic!("{database}: it is free");
            };
            let write = || store.note(&id, note, chrono::Utc::now());
            let done = UNDER.scope(old.clone(), write()).await;
            assert!(done.is_ok(), "{database}: nobody else has it");
            let Taken::Mine(new) = store.take("l", "b").await.unwrap() else {
                panic!("{database}: it ran out");
            };
            let done = UNDER.scope(old.clone(), write()).await;
            assert!(matches!(done, Err(StoreError::Stale(_))), "{database}");
            assert!(
                UNDER.scope(new.clone(), write()).await.is_ok(),
                "{database}"
            );
            assert_eq!(
                store.told(&id, &["test.noted"]).await.len(),
                2,
                "{database}"
            );
            // By its own clock it stops without asking anybody.
            assert!(UNDER.sync_scope(new.clone(), may_act).is_ok());
            new.renewed_at(Instant::now().checked_sub(STOP).unwrap());
            assert!(UNDER.sync_scope(new.clone(), may_act).is_err());
            let held = store.hold(&new, std::future::pending::<()>()).await;
            assert!(held.is_none(), "{database}");
            assert!(may_act().is_ok(), "who holds none asks nobody");
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_many_that_ask_at_once_one_gets_it() {
        let dir = tempfile::tempdir().unwrap();
        for (database, store) in stores(dir.path()).await {
            let mut asking = tokio::task::JoinSet::new();
            for n in 0..20 {
                let store = store.clone();
                asking.spawn(async move { store.take("l", &format!("h{n}")).await.unwrap() });
            }
            let got = asking.join_all().await.into_iter().filter_map(epoch);
            assert_eq!(got.collect::<Vec<_>>(), [1], "{database}");
        }
    }
}
