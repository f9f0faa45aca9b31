//! The only place that knows the database: opens it, keeps its rules, and turns
//! rows into words of the domain.
//!
//! Way: a handler or the loop -> a method of [`Store`] -> one transaction -> the
//! change, its event and the workshop's next revision -> [`Store::changed`]
//! wakes the Watch streams. SQLite today; where PostgreSQL must differ the code
//! asks `get_database_backend` and nowhere else.

pub mod census;
pub mod entity;
pub mod events;
pub mod keeping;
pub mod limits;
pub mod losses;
pub mod migration;
pub mod notes;
pub mod pausing;
pub mod principals;
pub mod requests;
pub mod sealing;
pub mod seats;
pub mod settle;
pub mod sweeps;
pub mod text;
pub mod view;
pub mod workers;
pub mod workshops;

use std::{ops::Deref, path::Path, sync::Arc, time::Duration};

use clarateach_domain::ids::WorkshopId;
use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbBackend,
    DbErr, SqliteTransactionMode, TransactionOptions, TransactionTrait, sqlx::sqlite,
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
        let db = Database::connect(options)
            .await
            .map_err(|cause| StoreError::Open {
                path: path.display().to_string(),
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

    /// The transaction is the lock: SQLite lets one writer in, and PostgreSQL
    /// is told to.
    async fn migrate(&self) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        if self.db.get_database_backend() == DbBackend::Postgres {
            txn.execute_unprepared("SELECT pg_advisory_xact_lock(7241360418)")
                .await?;
        }
        migration::Migrations::up(&*txn, None)
            .await
            .map_err(StoreError::Migrate)?;
        txn.commit().await
    }

    /// Starts a transaction that may write. On SQLite writers queue here, in
    /// order, instead of polling the file's lock.
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
