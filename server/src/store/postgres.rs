//! What is of PostgreSQL alone: how it is connected to, its locks, and how control planes
//! hear of each other's changes.
//!
//! Way of a change: its transaction notifies a channel -> PostgreSQL tells it to everybody
//! who listens once it is committed -> [`Store::listen`] of every control plane ->
//! its own Watch streams. What is not heard is found by the clock.

use std::time::Duration;

use clarateach_domain::ids::WorkshopId;
use sea_orm::{
    ConnectOptions, ConnectionTrait, DatabaseTransaction, DbBackend, Statement,
    sqlx::postgres::PgListener,
};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::{Store, StoreError, sealing::MasterKey};

/// One of them listens.
const CONNECTIONS: u32 = 12;
/// How long a connection may take to be made.
const CONNECT: Duration = Duration::from_secs(5);
/// And a query to get one: behind a class that joins at once there is a queue.
const ACQUIRE: Duration = Duration::from_secs(10);
/// A session that sleeps in the middle of a transaction ends with it: its process may be
/// stopped or cut off, and nobody else could take over what its rows hold.
const IDLE: &str = "4s";
/// And no query waits for another's row longer than this, nor runs longer than that.
const LOCK: &str = "10s";
const STATEMENT: &str = "30s";
/// The pause before listening again.
const AGAIN: Duration = Duration::from_secs(1);
/// Where changes are told.
const CHANNEL: &str = "clarateach_changed";

/// Any numbers that no other program has: what is done alone, until the transaction ends.
pub(super) const MIGRATE: i64 = 7_241_360_418;
pub(super) const CAPACITY: i64 = 7_241_360_419;
pub(super) const FIRST_ROWS: i64 = 7_241_360_420;

/// Waits for the lock of this number and holds it to the end of the transaction. On SQLite
/// the transaction is the lock.
pub(super) async fn alone(txn: &DatabaseTransaction, number: i64) -> Result<(), StoreError> {
    ask(txn, "SELECT pg_advisory_xact_lock($1)", number).await
}

/// The same for a name. Two names may share a lock, and then wait for each other.
pub(super) async fn alone_with(txn: &DatabaseTransaction, name: &str) -> Result<(), StoreError> {
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7241360421))";
    ask(txn, sql, name).await
}

/// Tells every control plane of a change, once it is committed.
pub(super) async fn notify(
    txn: &DatabaseTransaction,
    workshop: &WorkshopId,
) -> Result<(), StoreError> {
    let sql = "SELECT pg_notify('clarateach_changed', $1)";
    ask(txn, sql, workshop.as_str()).await
}

async fn ask(
    txn: &DatabaseTransaction,
    sql: &str,
    value: impl Into<sea_orm::Value>,
) -> Result<(), StoreError> {
    let backend = txn.get_database_backend();
    if backend == DbBackend::Postgres {
        let query = Statement::from_sql_and_values(backend, sql, [value.into()]);
        txn.query_one_raw(query).await?;
    }
    Ok(())
}

impl Store {
    /// Opens the PostgreSQL database at `url` and brings its tables up to date. Several
    /// control planes may be on it, each with the same master key.
    pub async fn open_postgres(url: &str, key: MasterKey) -> Result<Self, StoreError> {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(CONNECTIONS)
            .min_connections(1)
            .connect_timeout(CONNECT)
            .acquire_timeout(ACQUIRE)
            .sqlx_logging(false)
            .map_sqlx_postgres_opts(|postgres| {
                postgres.application_name("clarateach").options([
                    ("idle_in_transaction_session_timeout", IDLE),
                    ("lock_timeout", LOCK),
                    ("statement_timeout", STATEMENT),
                ])
            });
        Self::over(options, key, url).await
    }

    /// Hears of what other control planes change, until `stop`; on SQLite there are none.
    pub async fn listen(self, stop: CancellationToken) {
        if self.db.get_database_backend() != DbBackend::Postgres {
            return;
        }
        let listening = async {
            loop {
                if let Err(cause) = self.hear().await {
                    warn!(error = ?cause, "other control planes are not heard");
                }
                tokio::time::sleep(AGAIN).await;
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = listening => {}
        }
    }

    async fn hear(&self) -> Result<(), sea_orm::sqlx::Error> {
        let mut listener = PgListener::connect_with(self.db.get_postgres_connection_pool()).await?;
        listener.listen(CHANNEL).await?;
        debug!("other control planes are heard");
        while let Some(told) = listener.try_recv().await? {
            if let Ok(workshop) = told.payload().parse() {
                self.changed(&workshop);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Event, postgres_of_tests};

    /// Two control planes that begin at once on an empty database.
    async fn two(name: &str) -> Option<[Store; 2]> {
        if let Some(why) = postgres_of_tests::missing() {
            println!("SKIPPED: two stores on PostgreSQL: {why}");
            return None;
        }
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("master.key");
        let url = postgres_of_tests::shared().database(name);
        let key = || MasterKey::load_or_make(&path).unwrap();
        let (one, other) = tokio::join!(
            Store::open_postgres(&url, key()),
            Store::open_postgres(&url, key())
        );
        Some([one.unwrap(), other.unwrap()])
    }

    #[tokio::test]
    async fn two_that_begin_at_once_agree() {
        let Some([one, other]) = two("agreeing").await else {
            return;
        };
        let (mine, yours) = tokio::join!(one.agreed("x", "mine"), other.agreed("x", "yours"));
        assert_eq!(mine.unwrap(), yours.unwrap());
        let dir = tempfile::tempdir().unwrap();
        let token = dir.path().join("admin.token");
        let now = chrono::Utc::now();
        let (mine, yours) = tokio::join!(
            one.ensure_admin(&token, now),
            other.ensure_admin(&token, now)
        );
        mine.and(yours).unwrap();
        assert_eq!(one.tokens(None).await.unwrap().len(), 1, "one token");
    }

    #[tokio::test]
    async fn what_one_changes_the_other_hears() {
        let Some([one, other]) = two("hearing").await else {
            return;
        };
        let stop = CancellationToken::new();
        let mut heard = other.changes();
        let listening = tokio::spawn(other.clone().listen(stop.clone()));
        let id = WorkshopId::from_random([9; 16]);
        let event = Event {
            actor: "test",
            verb: "test.noted",
            object: "",
            reason: "",
            data: "",
        };
        // It may not listen yet: told until it is heard.
        let told = tokio::time::timeout(Duration::from_mins(1), async {
            loop {
                one.note(&id, event, chrono::Utc::now()).await.unwrap();
                let soon = tokio::time::timeout(Duration::from_millis(200), heard.recv());
                if let Ok(told) = soon.await {
                    return told.unwrap();
                }
            }
        });
        assert_eq!(told.await.unwrap(), id);
        stop.cancel();
        listening.await.unwrap();
    }
}
