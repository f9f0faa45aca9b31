//! The only place that knows the database: opens it, keeps its rules, and turns
//! rows into words of the domain.
//!
//! Way: a handler or the loop -> a method of [`Store`] -> one transaction -> the
//! change, its event and the workshop's next revision -> [`Store::changed`]
//! wakes the Watch streams. SQLite for one control plane, PostgreSQL for several
//! (`postgres.rs`); where they must differ the code asks `get_database_backend` and
//! nowhere else.

mod attempts;
pub mod census;
mod changing;
mod collecting;
pub mod entity;
pub mod events;
pub mod keeping;
pub mod leases;
pub mod limits;
pub mod losses;
pub mod migration;
pub mod notes;
pub mod pausing;
mod postgres;
#[cfg(test)]
#[path = "../../../e2e/src/postgres.rs"]
pub(crate) mod postgres_of_tests;
pub mod principals;
pub mod reading;
pub mod requests;
mod resizing;
mod runs;
pub mod sealing;
pub mod seats;
pub mod settle;
pub mod settled;
pub mod sights;
pub mod sweeps;
pub mod text;
pub mod usual;
pub mod view;
pub mod workers;
pub mod workshops;

use std::{ops::Deref, path::Path, sync::Arc, time::Duration};

use clarateach_domain::ids::WorkshopId;
use sea_orm::{
    ConnectOptions, Database, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr,
    RuntimeErr, SqliteTransactionMode, TransactionOptions, TransactionTrait,
    sqlx::{self, sqlite},
};
use sea_orm_migration::MigratorTrait;
use tokio::sync::{Mutex, OwnedMutexGuard, broadcast};

pub use events::{Event, Notice, NoticeKind, record, record_global, record_notice};
use sealing::{MasterKey, SealError};

/// Connections to the database. Reads go beside each other, writes take turns:
/// more would only cost memory (each SQLite connection has a thread and a page
/// cache of its own).
const CONNECTIONS: u32 = 4;

/// Workshops that changed and have not been looked at by the slowest listener;
/// who falls further behind looks at everything.
const CHANGES: usize = 256;

/// What can go wrong with the store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database could not be opened.
    #[error("could not open the database {path}")]
    Open {
        /// Where it is.
        path: String,
        /// Why.
        #[source]
        cause: DbErr,
    },
    /// The tables could not be brought up to date.
    #[error("could not migrate the database")]
    Migrate(#[source] DbErr),
    /// A query failed.
    #[error("the database refused a query")]
    Query(#[from] DbErr),
    /// A secret could not be sealed or opened.
    #[error("could not use a sealed secret")]
    Seal(#[from] SealError),
    /// Another control plane has taken over what this one was at.
    #[error("the lease {0} is no longer held: what was settled under it is not kept")]
    Stale(String),
    /// A row holds what this version cannot read.
    #[error("the database holds a bad {what}: {text}")]
    BadRow {
        /// Which column.
        what: &'static str,
        /// What is wrong with it.
        text: String,
    },
}

impl StoreError {
    /// A row that cannot be read.
    pub fn bad(what: &'static str, cause: impl std::fmt::Display) -> Self {
        Self::BadRow {
            what,
            text: cause.to_string(),
        }
    }

    /// Whether the database is out of reach, rather than at odds with what was asked.
    pub fn is_away(&self) -> bool {
        let (Self::Query(cause) | Self::Migrate(cause) | Self::Open { cause, .. }) = self else {
            return false;
        };
        match cause {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => true,
            DbErr::Query(RuntimeErr::SqlxError(cause))
            | DbErr::Exec(RuntimeErr::SqlxError(cause)) => match &**cause {
                sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed => true,
                // It was told to end the connection, or is starting or stopping.
                sqlx::Error::Database(said) => said
                    .code()
                    .is_some_and(|code| code == "25P03" || code.starts_with("57P")),
                _ => false,
            },
            _ => false,
        }
    }
}

/// A handle on the database; clones share it.
#[derive(Clone)]
pub struct Store {
    pub(crate) db: DatabaseConnection,
    pub(crate) key: Arc<MasterKey>,
    turn: Arc<Mutex<()>>,
    changes: broadcast::Sender<WorkshopId>,
}

/// A transaction that may write. Without [`WriteTxn::commit`] it never happened.
pub struct WriteTxn {
    txn: DatabaseTransaction,
    // Dropped after the transaction: the next writer starts when this one is over.
    _turn: Option<OwnedMutexGuard<()>>,
}

impl WriteTxn {
    /// Makes it so.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.txn.commit().await?)
    }
}

impl Deref for WriteTxn {
    type Target = DatabaseTransaction;
    fn deref(&self) -> &DatabaseTransaction {
        &self.txn
    }
}

impl Store {
    /// Opens the SQLite database at `path`, makes it if it is missing, and
    /// brings its tables up to date.
    pub async fn open(path: &Path, key: MasterKey) -> Result<Self, StoreError> {
        sealing::make_private(path)?;
        let mut options = ConnectOptions::new(format!("sqlite://{}?mode=rwc", path.display()));
        options
            .max_connections(CONNECTIONS)
            .min_connections(1)
            .idle_timeout(Duration::from_mins(1))
            .sqlx_logging(false)
            // `synchronous` stays FULL: a revoked seat is still revoked after a
            // power cut.
            .map_sqlx_sqlite_opts(|sqlite| {
                sqlite
                    .journal_mode(sqlite::SqliteJournalMode::Wal)
                    .busy_timeout(Duration::from_secs(10))
                    .foreign_keys(true)
            });
        Self::over(options, key, &path.display().to_string()).await
    }

    async fn over(options: ConnectOptions, key: MasterKey, at: &str) -> Result<Self, StoreError> {
        let db = Database::connect(options)
            .await
            .map_err(|cause| StoreError::Open {
                path: at.to_owned(),
                cause,
            })?;
        let store = Self {
            db,
            key: Arc::new(key),
            turn: Arc::default(),
            changes: broadcast::Sender::new(CHANGES),
        };
        store.migrate().await?;
        store.check_key().await?;
        Ok(store)
    }

    /// The database of a test: on SQLite in its folder, or on PostgreSQL if the run is.
    #[cfg(test)]
    pub(crate) async fn of_test(dir: &Path) -> Self {
        let key = MasterKey::load_or_make(&dir.join("master.key"));
        let key = key.expect("a test's key");
        let opened = match postgres_of_tests::beside(dir) {
            Some(url) => Self::open_postgres(&url, key).await,
            None => Self::open(&dir.join("test.db"), key).await,
        };
        opened.expect("a test's database")
    }

    /// The transaction is the lock: SQLite lets one writer in, and PostgreSQL
    /// is told to.
    async fn migrate(&self) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        postgres::alone(&txn, postgres::MIGRATE).await?;
        migration::Migrations::up(&*txn, None)
            .await
            .map_err(StoreError::Migrate)?;
        txn.commit().await
    }

    /// Starts a transaction that may write. On SQLite writers queue here, in
    /// order, instead of polling the file's lock. Of a task that works under a lease
    /// that another control plane has taken meanwhile, it is refused.
    pub async fn begin_write(&self) -> Result<WriteTxn, StoreError> {
        let sqlite = self.db.get_database_backend() == DbBackend::Sqlite;
        let turn = if sqlite {
            Some(self.turn.clone().lock_owned().await)
        } else {
            None
        };
        let options = TransactionOptions {
            // From the first statement on: a read that turns into a write half
            // way cannot wait and would fail.
            sqlite_transaction_mode: sqlite.then_some(SqliteTransactionMode::Immediate),
            ..TransactionOptions::default()
        };
        let txn = self.db.begin_with_options(options).await?;
        leases::check(&txn).await?;
        Ok(WriteTxn { txn, _turn: turn })
    }

    /// Tells who watches that a committed change concerns `workshop`.
    pub fn changed(&self, workshop: &WorkshopId) {
        // Nobody listening is fine.
        let _ = self.changes.send(workshop.clone());
    }

    /// The workshops that change from now on. A receiver that lags has to look
    /// at everything again.
    pub fn changes(&self) -> broadcast::Receiver<WorkshopId> {
        self.changes.subscribe()
    }

    /// Closes the connections; SQLite folds its log into the file.
    pub async fn close(self) -> Result<(), StoreError> {
        Ok(self.db.close().await?)
    }
}
