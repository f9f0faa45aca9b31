//! Principals and their API tokens.
//!
//! Way: a token's text -> its SHA-256 -> one indexed look-up -> a [`Principal`].
//! Texts are 256 random bits, so a plain hash is enough; they are never stored.

use std::path::Path;

use chrono::{DateTime, Utc};
use clarateach_domain::workshop::Role;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, QueryFilter,
    QueryOrder, sea_query::Expr,
};
use sha2::{Digest, Sha256};
use tracing::{info, warn};

use super::{
    Event, Store, StoreError, WriteTxn,
    entity::{api_token, principal},
    postgres, record_global,
    requests::{Replay, RequestKey},
    sealing::{SealError, hex, random, read_secret_file, write_secret_file},
    text::Text,
};

/// Before every token's text, so that scanners for leaked secrets know it.
const PREFIX: &str = "clt_";
/// The principal of `admin.token`.
pub const FIRST_ADMIN: &str = "admin";

/// Whoever calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Its row.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// What it may do.
    pub role: Role,
}

/// What is known of a token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Names it.
    pub id: String,
    /// What people call it.
    pub label: String,
    /// Whom it speaks for.
    pub principal: Principal,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was revoked, if it was.
    pub revoked_at: Option<DateTime<Utc>>,
}

/// A token to make.
#[derive(Debug, Clone, Copy)]
pub struct TokenWish<'a> {
    /// Whom it speaks for; made when new.
    pub principal: &'a str,
    /// What a new principal may do.
    pub role: Option<Role>,
    /// What people call it.
    pub label: &'a str,
}

/// Why a token was not made.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The principal is there, with another role.
    #[error("the principal is there and is {0}")]
    OtherRole(Role),
    /// Another wish had the same request id.
    #[error("another request had the same id")]
    RequestDiffers,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sea_orm::DbErr> for TokenError {
    fn from(cause: sea_orm::DbErr) -> Self {
        Self::Store(cause.into())
    }
}

/// SHA-256 of a secret's text, hex: what is stored of it.
pub fn hash(secret: &str) -> String {
    hex(&Sha256::digest(secret.as_bytes()))
}

fn short_id(prefix: &str) -> Result<String, StoreError> {
    Ok(format!("{prefix}-{}", &hex(&random::<8>()?)[..10]))
}

impl From<principal::Model> for Principal {
    fn from(row: principal::Model) -> Self {
        Self {
            id: row.id,
            name: row.name,
            role: row.role.0,
        }
    }
}

fn api_token((row, owner): (api_token::Model, principal::Model)) -> ApiToken {
    ApiToken {
        id: row.id,
        label: row.label,
        principal: owner.into(),
        created_at: row.created_at,
        revoked_at: row.revoked_at,
    }
}

impl Store {
    /// Whom the token with this [`hash`] speaks for, if it is known and not revoked.
    pub async fn principal_of(&self, hash: &str) -> Result<Option<Principal>, StoreError> {
        let row = api_token::Entity::find()
            .filter(api_token::Column::Hash.eq(hash))
            .filter(api_token::Column::RevokedAt.is_null())
            .one(&self.db)
            .await?;
        let Some(row) = row else { return Ok(None) };
        let owner = principal::Entity::find_by_id(row.principal_id)
            .one(&self.db)
            .await?;
        Ok(owner.map(Principal::from))
    }

    /// The principal of that name.
    pub async fn principal_named(&self, name: &str) -> Result<Option<Principal>, StoreError> {
        named(&self.db, name).await
    }

    /// Makes a token, and its principal when that is new. The text is returned once, and
    /// again to a repeat of the same call.
    pub async fn make_token(
        &self,
        actor: &str,
        wish: TokenWish<'_>,
        key: &RequestKey,
        now: DateTime<Utc>,
    ) -> Result<(String, ApiToken), TokenError> {
        let fresh = format!(
            "{PREFIX}{}",
            hex(&random::<32>().map_err(StoreError::from)?)
        );
        let txn = self.begin_write().await?;
        match self.replay(&txn, key).await? {
            Replay::Fresh => {}
            Replay::Differs => return Err(TokenError::RequestDiffers),
            Replay::Answered(text) => {
                let made = of_text(&*txn, &text).await?;
                let made = made.ok_or_else(|| StoreError::bad("token", "its row is gone"))?;
                return Ok((text.to_string(), made));
            }
        }
        let token = insert(&txn, actor, wish, &fresh, now).await?;
        self.keep_answer(&txn, key, &fresh, now).await?;
        txn.commit().await?;
        Ok((fresh, token))
    }

    /// All tokens, or those of one principal (by id), newest first.
    pub async fn tokens(&self, of: Option<&str>) -> Result<Vec<ApiToken>, StoreError> {
        let mut query = api_token::Entity::find();
        if let Some(owner) = of {
            query = query.filter(api_token::Column::PrincipalId.eq(owner));
        }
        let rows = query
            .order_by_desc(api_token::Column::CreatedAt)
            .order_by_asc(api_token::Column::Id)
            .all(&self.db)
            .await?;
        let owners = principal::Entity::find().all(&self.db).await?;
        let owner = |id: &str| owners.iter().find(|owner| owner.id == id).cloned();
        Ok(rows
            .into_iter()
            .filter_map(|row| owner(&row.principal_id).map(|owner| api_token((row, owner))))
            .collect())
    }

    /// One token.
    pub async fn token(&self, id: &str) -> Result<Option<ApiToken>, StoreError> {
        let Some(row) = api_token::Entity::find_by_id(id).one(&self.db).await? else {
            return Ok(None);
        };
        let owner = principal::Entity::find_by_id(&row.principal_id)
            .one(&self.db)
            .await?;
        Ok(owner.map(|owner| api_token((row, owner))))
    }

    /// Ends a token; one that has ended stays as it is.
    pub async fn revoke_token(
        &self,
        actor: &str,
        id: &str,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        let txn = self.begin_write().await?;
        let changed = api_token::Entity::update_many()
            .col_expr(api_token::Column::RevokedAt, Expr::value(now))
            .filter(api_token::Column::Id.eq(id))
            .filter(Expr::col(api_token::Column::RevokedAt).is_null())
            .exec(&*txn)
            .await?
            .rows_affected;
        if changed > 0 {
            let event = Event {
                actor,
                verb: "token.revoked",
                object: id,
                reason: "",
                data: "",
            };
            record_global(&txn, event, now).await?;
        }
        txn.commit().await
    }

    /// Makes sure that the token in the file at `path` (0600) is an admin's:
    /// makes both when the file is missing. Whoever can remove that file and
    /// restart the server owns it anyway.
    pub async fn ensure_admin(&self, path: &Path, now: DateTime<Utc>) -> Result<(), StoreError> {
        if !path.exists() {
            // The file first: a token that nobody can read is worth nothing.
            let text = format!("{PREFIX}{}\n", hex(&random::<32>()?));
            write_secret_file(path, &text).or_else(SealError::unless_there)?;
            info!(file = %path.display(), "admin token made");
        }
        let text = read_secret_file(path)?;
        let text = text.trim();
        let known = api_token::Entity::find()
            .filter(api_token::Column::Hash.eq(hash(text)))
            .one(&self.db)
            .await?;
        match known {
            Some(row) if row.revoked_at.is_some() => {
                warn!(file = %path.display(), "the admin token was revoked; remove its file and restart for another");
                Ok(())
            }
            Some(_) => Ok(()),
            None => match self.keep_admin(text, now).await {
                Ok(()) => Ok(()),
                Err(TokenError::OtherRole(role)) => Err(StoreError::bad("admin", role)),
                Err(TokenError::RequestDiffers) => Err(StoreError::bad("admin", "a repeat")),
                // Another control plane on the same folder may have been quicker.
                Err(TokenError::Store(cause)) => match self.principal_of(&hash(text)).await? {
                    Some(_) => Ok(()),
                    None => Err(cause),
                },
            },
        }
    }

    async fn keep_admin(&self, text: &str, now: DateTime<Utc>) -> Result<(), TokenError> {
        let wish = TokenWish {
            principal: FIRST_ADMIN,
            role: Some(Role::Admin),
            label: "admin.token",
        };
        let txn = self.begin_write().await?;
        insert(&txn, "start", wish, text, now).await?;
        txn.commit().await?;
        Ok(())
    }
}

async fn named(db: &impl ConnectionTrait, name: &str) -> Result<Option<Principal>, StoreError> {
    let row = principal::Entity::find()
        .filter(principal::Column::Name.eq(name))
        .one(db)
        .await?;
    Ok(row.map(Principal::from))
}

async fn of_text(db: &impl ConnectionTrait, text: &str) -> Result<Option<ApiToken>, StoreError> {
    let row = api_token::Entity::find()
        .filter(api_token::Column::Hash.eq(hash(text)))
        .one(db)
        .await?;
    let Some(row) = row else { return Ok(None) };
    let owner = principal::Entity::find_by_id(&row.principal_id)
        .one(db)
        .await?;
    Ok(owner.map(|owner| api_token((row, owner))))
}

async fn insert(
    txn: &WriteTxn,
    actor: &str,
    wish: TokenWish<'_>,
    text: &str,
    now: DateTime<Utc>,
) -> Result<ApiToken, TokenError> {
    // Two that make the same principal at once make one.
    postgres::alone(txn, postgres::FIRST_ROWS).await?;
    let owner = match named(&**txn, wish.principal).await? {
        Some(owner) if wish.role.is_some_and(|role| role != owner.role) => {
            return Err(TokenError::OtherRole(owner.role));
        }
        Some(owner) => owner,
        None => {
            let owner = Principal {
                id: short_id("pr")?,
                name: wish.principal.to_owned(),
                role: wish.role.unwrap_or(Role::Instructor),
            };
            let row = principal::ActiveModel {
                id: Set(owner.id.clone()),
                name: Set(owner.name.clone()),
                role: Set(Text(owner.role)),
                created_at: Set(now),
            };
            principal::Entity::insert(row)
                .exec_without_returning(&**txn)
                .await?;
            owner
        }
    };
    let row = api_token::Model {
        id: short_id("tk")?,
        principal_id: owner.id.clone(),
        label: wish.label.to_owned(),
        hash: hash(text),
        created_at: now,
        revoked_at: None,
    };
    api_token::Entity::insert(api_token::ActiveModel::from(row.clone()))
        .exec_without_returning(&**txn)
        .await?;
    let event = Event {
        actor,
        verb: "token.created",
        object: &row.id,
        reason: &format!("for {}", owner.name),
        data: "",
    };
    record_global(txn, event, now).await?;
    Ok(ApiToken {
        id: row.id,
        label: row.label,
        principal: owner,
        created_at: now,
        revoked_at: None,
    })
}
