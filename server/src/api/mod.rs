//! The doors: what instructors and learners ask, once for gRPC and JSON.
//!
//! Way: a request -> `auth` (who, and may they) -> `wish` (what, checked) -> one
//! act on the store -> wake the loop -> `wire` (out again). Handlers change
//! nothing at a cloud or an agent.

pub mod auth;
mod collect;
mod cost;
mod egress;
pub mod error;
mod observing;
mod previews;
mod rest;
mod seats;
mod tokens;
mod watch;
pub mod wire;
pub mod wish;
mod workshops;
pub mod wrong_codes;

use std::{net::IpAddr, ops::Deref, sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};
use clarateach_domain::{cost::HourlyPrice, microvm::Runtime};
use tonic::{Extensions, Request};

pub use rest::router as rest_router;
pub use watch::Hub;

use crate::{
    agents::Agents,
    browsers::WorkerDomain,
    reconciler::Wake,
    store::{Store, limits::Limits, principals::Principal},
};
use auth::Deed;
use error::ApiError;
use wrong_codes::WrongCodes;

/// What the doors are told by the command line.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How much there may be, counted in the creating transaction.
    pub limits: Limits,
    /// Seats of one workshop.
    pub max_seats_per_workshop: u32,
    /// The longest life of a workshop.
    pub max_ttl: Duration,
    /// The life of a workshop whose creator does not say.
    pub default_ttl: Duration,
    /// The life of a seat token.
    pub seat_token_life: Duration,
    /// Runtimes that the provisioner gives.
    pub runtimes: Vec<Runtime>,
    /// What a worker costs, if that is known.
    pub worker_price: Option<HourlyPrice>,
}

/// How a caller reached this server; `serve` puts it on every request.
#[derive(Debug, Clone)]
pub struct Visit {
    /// `http(s)://HOST[:PORT]` as the caller sees this server.
    pub base: String,
    /// Where the caller is.
    pub address: IpAddr,
    /// How browsers call workers, if they can come to them.
    pub workers: Option<Arc<WorkerDomain>>,
}

/// All doors; clones share everything.
#[derive(Clone)]
pub struct Api(Arc<Inner>);

/// What the doors share.
pub struct Inner {
    store: Store,
    agents: Agents,
    settings: Settings,
    wake: Wake,
    hub: Hub,
    wrong_codes: WrongCodes,
}

impl Deref for Api {
    type Target = Inner;
    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Api {
    /// Doors to `store`; of `agents` they only read logs.
    pub fn new(store: Store, agents: Agents, settings: Settings, wake: Wake, hub: Hub) -> Self {
        Self(Arc::new(Inner {
            store,
            agents,
            settings,
            wake,
            hub,
            wrong_codes: WrongCodes::default(),
        }))
    }

    /// Refuses a deed that is not the caller's to do.
    fn allow(who: &Principal, deed: Deed<'_>) -> Result<(), ApiError> {
        auth::may(who, deed).then_some(()).ok_or_else(|| {
            ApiError::new(
                tonic::Code::PermissionDenied,
                "NOT_ALLOWED",
                "this needs an admin's token",
            )
        })
    }

    /// Admits an admin: `/metrics` and the like.
    pub async fn admin(&self, headers: &http::HeaderMap) -> Result<Principal, ApiError> {
        let who = auth::principal(&self.store, headers).await?;
        Self::allow(&who, Deed::Everything)?;
        Ok(who)
    }
}

/// The caller's way here, which `serve` noted.
fn visit(extensions: &Extensions) -> Visit {
    extensions.get::<Visit>().cloned().unwrap_or_else(|| Visit {
        base: "http://localhost".to_owned(),
        address: IpAddr::from([127, 0, 0, 1]),
        workers: None,
    })
}

/// The headers of a gRPC call.
fn headers<T>(request: &Request<T>) -> &http::HeaderMap {
    request.metadata().as_ref()
}

/// Now, as every database can keep it: whole microseconds.
pub fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}
