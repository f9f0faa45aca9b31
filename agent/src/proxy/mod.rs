//! Everything below `/proxy/`: a learner's request becomes a guest's.
//!
//! Way: path -> [`route`] -> token -> [`admit`] -> [`forward`] or [`terminal`]
//! -> [`upstream`]. How long it may go on is [`deadline`]'s.

mod admit;
mod deadline;
mod destination;
mod form;
mod forward;
mod headers;
mod origin;
pub(crate) mod refuse;
mod route;
mod splice;
mod terminal;
mod upstream;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::{DateTime, Utc};
use clarateach_domain::{
    seat_net,
    seat_token::{Mode, Verifier},
};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::Instrument as _;

use self::{
    admit::{Gatekeeper, Permit},
    deadline::Stays,
    forward::Hop,
    origin::Origins,
    refuse::{Body, Refusal, empty},
    route::{Route, Verb},
    terminal::Handshake,
    upstream::{SharedUpstreams, Target},
};
use crate::{fleet::Fleet, serve::Caller, tls::Peer};

const DRAINING: Refusal = Refusal::for_now("DRAINING", "the worker takes no new connections");
const METHOD: Refusal = Refusal::new(
    StatusCode::METHOD_NOT_ALLOWED,
    "METHOD_NOT_ALLOWED",
    "this address wants another method",
);

/// The learners' half of the agent.
pub(crate) struct Proxy {
    gatekeeper: Arc<Gatekeeper>,
    stays: Arc<Stays>,
    upstreams: SharedUpstreams,
    origins: Origins,
    fleet: Fleet,
    draining: AtomicBool,
    terminals: TaskTracker,
}

impl Proxy {
    /// Carries to the seats of `fleet`. Sessions end when `stop` is cancelled;
    /// `terminals` is how the caller waits for that.
    pub(crate) fn new(
        verifier: Verifier,
        fleet: Fleet,
        allowed_origins: &[String],
        stop: CancellationToken,
        terminals: TaskTracker,
    ) -> Arc<Self> {
        Arc::new(Self {
            gatekeeper: Gatekeeper::new(verifier, fleet.clone()),
            stays: Stays::new(stop),
            upstreams: SharedUpstreams::default(),
            origins: Origins::new(allowed_origins),
            fleet,
            draining: AtomicBool::new(false),
            terminals,
        })
    }

    /// Takes no new connections from now on; those that are open stay.
    pub(crate) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Lets pages of these origins come, beside those of its start.
    pub(crate) fn welcome(&self, origins: &[String]) {
        self.origins.welcome(origins);
    }

    /// Whether it drains.
    pub(crate) fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Answers one request below `/proxy/`.
    pub(crate) async fn handle(
        &self,
        request: Request<Incoming>,
        caller: Caller,
    ) -> Response<Body> {
        let Some(route) = Route::parse(request.uri().path()) else {
            return Refusal::NOT_FOUND.answer();
        };
        if let Some(answer) = self.origins.preflight(&request) {
            return answer;
        }
        let span = tracing::info_span!("proxy", workshop = %route.workshop, seat = %route.seat);
        // The gateway has checked the page already, against its own origin.
        let origin = match caller.peer {
            Peer::Gateway => Ok(None),
            Peer::Learner | Peer::ControlPlane => self.origins.check(request.headers()),
        };
        let origin = match origin {
            Ok(origin) => origin,
            Err(refusal) => return refusal.answer(),
        };
        let answer = async {
            let request = if form::is_download(&route, &request) {
                form::unfold(request).await?
            } else {
                request.map(|body| body.map_err(Into::into).boxed_unsync())
            };
            self.admitted(route, request, caller).await
        };
        let answer = answer.instrument(span).await;
        let mut answer = answer.unwrap_or_else(Refusal::answer);
        if let Some(origin) = origin {
            origin::allow(answer.headers_mut(), origin);
        }
        answer
    }

    async fn admitted(
        &self,
        route: Route,
        request: Request<Body>,
        caller: Caller,
    ) -> Result<Response<Body>, Refusal> {
        let (now, instant) = (Utc::now(), Instant::now());
        let query = request.uri().query();
        let permit =
            self.gatekeeper
                .admit(&route, request.method(), query, request.headers(), now)?;
        let until = instant + left(&permit, now);
        self.stays.renew(&permit.claims, until);
        if route.verb == Verb::Renew {
            return renewed(request.method());
        }
        if self.draining() {
            return Err(DRAINING);
        }
        // Read before a session begins: a plain request is refused at no cost.
        let handshake = match route.verb {
            Verb::Terminal => Some(Handshake::read(&request)?),
            Verb::Exec if request.method() != Method::POST => return Err(METHOD),
            Verb::Files(_) if !is_webdav(request.method()) => return Err(METHOD),
            Verb::Exec | Verb::Files(_) | Verb::Renew => None,
        };
        let session = self.stays.open(&permit, until);
        let hop = hop(&route, query, &permit, &session.viewer, caller.peer)?;
        match handshake {
            Some(handshake) => {
                let opening = terminal::Opening {
                    hop,
                    handshake,
                    session,
                    caller,
                };
                terminal::open(&self.fleet, &self.terminals, opening, request).await
            }
            None => forward::forward(&self.upstreams, hop, request, session).await,
        }
    }
}

/// How long the permit's token goes on.
fn left(permit: &Permit, now: DateTime<Utc>) -> Duration {
    (permit.claims.expires_at - now)
        .to_std()
        .unwrap_or_default()
}

fn renewed(method: &Method) -> Result<Response<Body>, Refusal> {
    if method != Method::POST {
        return Err(METHOD);
    }
    let mut answer = Response::new(empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}

/// What a file server is asked. CONNECT and TRACE above all are not.
fn is_webdav(method: &Method) -> bool {
    const OTHERS: [&str; 7] = [
        "PROPFIND",
        "PROPPATCH",
        "MKCOL",
        "COPY",
        "MOVE",
        "LOCK",
        "UNLOCK",
    ];
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::PUT | Method::POST | Method::DELETE | Method::OPTIONS
    ) || OTHERS.contains(&method.as_str())
}

fn hop(
    route: &Route,
    query: Option<&str>,
    permit: &Permit,
    viewer: &str,
    peer: Peer,
) -> Result<Hop, Refusal> {
    let (port, path) = match &route.verb {
        Verb::Terminal => (seat_net::TERMINAL_PORT, "/terminal"),
        Verb::Exec | Verb::Renew => (seat_net::TERMINAL_PORT, "/exec"),
        Verb::Files(path) => (seat_net::FILES_PORT, path.as_str()),
    };
    let mode = match permit.claims.mode {
        // Guests know who drives and who looks on. Who may read files is decided here.
        Mode::Collect => Mode::Drive,
        mode @ (Mode::Drive | Mode::Assist | Mode::Observe) => mode,
    };
    let mode = mode.as_str();
    let value = |text: &str| HeaderValue::from_str(text).map_err(|_| Refusal::NOT_FOUND);
    let mut secret = value(&permit.door.secret)?;
    secret.set_sensitive(true);
    Ok(Hop {
        target: Target {
            seat: route.seat,
            life: permit.door.life.borrow().life,
            address: permit.door.address,
            port,
        },
        path: match query {
            Some(query) => format!("{path}?{query}"),
            None => path.to_owned(),
        },
        secret,
        viewer: value(&format!("{viewer};{mode}"))?,
        prefix: route.files_prefix(),
        direct: peer != Peer::Gateway,
    })
}

#[cfg(test)]
mod tests;
