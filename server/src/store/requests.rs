//! Request ids: a call that is repeated gets the answer of the first.
//!
//! Way: scope, id and body -> [`Store::replay`] in the call's own transaction ->
//! the first answer, or room to [`Store::keep_answer`] one. Rows live a day.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter};
use zeroize::Zeroizing;

use super::{Store, StoreError, WriteTxn, entity::request, postgres, sealing::hex};
use sha2::{Digest, Sha256};

/// How long a repeat is recognised.
const KEPT: TimeDelta = TimeDelta::days(1);

/// A call's own id, whose it is, and what it asks.
#[derive(Debug, Clone)]
pub struct RequestKey {
    /// Whose id it is: a principal, or one workshop's learners.
    pub scope: String,
    /// The caller's id; empty when the call has none.
    pub id: String,
    /// The call and SHA-256 of what it asks, hex.
    pub body: String,
}

impl RequestKey {
    /// `body` is anything that is equal exactly when the call asks the same.
    pub fn new(scope: impl Into<String>, verb: &str, id: &str, body: &[u8]) -> Self {
        Self {
            scope: scope.into(),
            id: id.to_owned(),
            body: format!("{verb} {}", hex(&Sha256::digest(body))),
        }
    }
}

/// What is known of a call.
pub enum Replay {
    /// It is the first of its id, or has none.
    Fresh,
    /// It was answered with this.
    Answered(Zeroizing<String>),
    /// Another call has its id.
    Differs,
}

const SEALED: &str = "answer";

impl Store {
    /// Looks for an earlier call with the same id.
    pub(super) async fn replay(
        &self,
        txn: &WriteTxn,
        key: &RequestKey,
    ) -> Result<Replay, StoreError> {
        if key.id.is_empty() {
            return Ok(Replay::Fresh);
        }
        // Equal calls at once: the second waits until the first has kept its answer.
        postgres::alone_with(txn, &format!("{}/{}", key.scope, key.id)).await?;
        let row = request::Entity::find_by_id((key.scope.clone(), key.id.clone()))
            .one(&**txn)
            .await?;
        match row {
            None => Ok(Replay::Fresh),
            Some(row) if row.body != key.body => Ok(Replay::Differs),
            Some(row) => Ok(Replay::Answered(self.key.open_text(
                SEALED,
                &key.scope,
                &row.answer_sealed,
            )?)),
        }
    }

    /// Keeps the answer of a call that has an id. Sealed: a join's holds the
    /// reconnect code.
    pub(super) async fn keep_answer(
        &self,
        txn: &WriteTxn,
        key: &RequestKey,
        answer: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        if key.id.is_empty() {
            return Ok(());
        }
        let row = request::ActiveModel {
            scope: Set(key.scope.clone()),
            request_id: Set(key.id.clone()),
            body: Set(key.body.clone()),
            answer_sealed: Set(self.key.seal(SEALED, &key.scope, answer.as_bytes())?),
            created_at: Set(now),
        };
        request::Entity::insert(row)
            .exec_without_returning(&**txn)
            .await?;
        Ok(())
    }

    /// Forgets request ids that are older than a day.
    pub async fn forget_requests(&self, now: DateTime<Utc>) -> Result<u64, StoreError> {
        let txn = self.begin_write().await?;
        let gone = request::Entity::delete_many()
            .filter(request::Column::CreatedAt.lt(now - KEPT))
            .exec(&*txn)
            .await?
            .rows_affected;
        txn.commit().await?;
        Ok(gone)
    }
}
