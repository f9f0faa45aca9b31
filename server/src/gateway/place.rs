//! Where a seat is and how its worker is reached: keys, address, client.
//!
//! Looked up in the database and kept for a moment, so that a page that asks
//! for many files costs one look. Way: workshop id -> [`Keys`]; claims ->
//! [`Place`].

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::body::Body;
use clarateach_certs::ca::Ca;
use clarateach_domain::{
    ids::{WorkerName, WorkshopId},
    seat_token::{Claims, Verifier},
};
use http::Uri;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use tracing::warn;

use super::{line::Dial, refuse::Refusal};
use crate::store::Store;

/// Workshops' keys are looked up anew after this.
const KEYS_FRESH: Duration = Duration::from_mins(1);
/// Leaves of the gateway live for a day; a client is made anew well before.
const CLIENT_FRESH: Duration = Duration::from_hours(8);
/// Idle connections to one worker, and how long they are kept: shorter than
/// the agent's own patience.
const IDLE: usize = 16;
const IDLE_TIME: Duration = Duration::from_secs(20);
/// More workshops than this are forgotten all at once: a bound, not a policy.
const KEPT: usize = 1000;

/// What a workshop's tokens and workers are checked with.
pub(super) struct Keys {
    pub(super) workshop: WorkshopId,
    pub(super) verifier: Verifier,
    ca: Ca,
    since: Instant,
}

/// A worker, reachable.
#[derive(Clone)]
pub(super) struct Place {
    address: SocketAddr,
    pub(super) client: Client<Dial, Body>,
}

impl Place {
    /// The address of `path` (made by `Route`) at the agent.
    pub(super) fn uri(&self, path: &str) -> Result<Uri, Refusal> {
        format!("https://{}{path}", self.address)
            .parse()
            .map_err(|_| Refusal::NOT_FOUND)
    }
}

type Clients = HashMap<(WorkerName, SocketAddr), (Instant, Client<Dial, Body>)>;

pub(super) struct Places {
    store: Store,
    keys: Mutex<HashMap<WorkshopId, Arc<Keys>>>,
    clients: Mutex<Clients>,
}

impl Places {
    pub(super) fn new(store: Store) -> Self {
        Self {
            store,
            keys: Mutex::default(),
            clients: Mutex::default(),
        }
    }

    /// A workshop's keys; `None` if there is no such workshop.
    pub(super) async fn keys(&self, id: &WorkshopId) -> Result<Option<Arc<Keys>>, Refusal> {
        let fresh = |keys: &&Arc<Keys>| keys.since.elapsed() < KEYS_FRESH;
        if let Some(keys) = lock(&self.keys).get(id).filter(fresh) {
            return Ok(Some(keys.clone()));
        }
        let found = self.store.gateway_keys(id).await.map_err(|cause| {
            warn!(error = ?cause, "workshop could not be looked up");
            Refusal::BROKEN
        })?;
        let Some((ca, seat_key)) = found else {
            return Ok(None);
        };
        let verifier = Verifier::from_pem(seat_key.as_bytes(), id.clone()).map_err(|cause| {
            warn!(error = ?cause, "seat key could not be used");
            Refusal::BROKEN
        })?;
        let keys = Arc::new(Keys {
            workshop: id.clone(),
            verifier,
            ca,
            since: Instant::now(),
        });
        let mut kept = lock(&self.keys);
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(id.clone(), keys.clone());
        Ok(Some(keys))
    }

    /// The worker of the claims' seat, if they still count.
    pub(super) async fn find(&self, keys: &Keys, claims: &Claims) -> Result<Place, Refusal> {
        let found = self.store.seat_place(&keys.workshop, claims.seat).await;
        let found = found.map_err(|cause| {
            warn!(error = ?cause, "seat could not be looked up");
            Refusal::BROKEN
        })?;
        let seat = found.ok_or(Refusal::SEAT_UNKNOWN)?;
        if claims.epoch < seat.epoch {
            return Err(Refusal::TOKEN_REVOKED);
        }
        let (worker, address) = seat.worker.ok_or(Refusal::NOT_RUNNING)?;
        let client = self.client(keys, worker, address)?;
        Ok(Place { address, client })
    }

    fn client(
        &self,
        keys: &Keys,
        worker: WorkerName,
        address: SocketAddr,
    ) -> Result<Client<Dial, Body>, Refusal> {
        let key = (worker, address);
        let mut clients = lock(&self.clients);
        clients.retain(|_, (since, _)| since.elapsed() < CLIENT_FRESH);
        if let Some((_, client)) = clients.get(&key) {
            return Ok(client.clone());
        }
        let dial = Dial::new(&keys.ca, &keys.workshop, &key.0, address).map_err(|cause| {
            warn!(error = ?cause, "gateway's certificate could not be made");
            Refusal::BROKEN
        })?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIME)
            .pool_max_idle_per_host(IDLE)
            .http1_max_headers(100)
            .build(dial);
        clients.insert(key, (Instant::now(), client.clone()));
        Ok(client)
    }
}

fn lock<T>(of: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}
