//! `/proxy/**` of a workshop through the control plane to its agent: for
//! browsers, which cannot trust a workshop's CA, and for machines that cannot
//! reach the worker.
//!
//! Way: path -> [`route`] -> a download's [`form`] -> token and place ([`place`]) -> the request rebuilt
//! -> agent, with the gateway's own leaf and the learner's own token. The agent
//! decides; what is refused here is refused because it is cheap. After a 101,
//! [`relay`] carries bytes unread.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::any,
};
use chrono::Utc;
use clarateach_domain::seat_token::BadToken;
use http::{StatusCode, Version, header};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::Connect},
    rt::TokioIo,
};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument, debug, info_span, warn};

use crate::store::Store;

mod form;
mod headers;
mod line;
mod patience;
mod place;
mod refuse;
mod relay;
mod route;

use patience::Patience;
use place::{Place, Places};
use refuse::Refusal;
use route::{Route, Verb};

/// How long an agent may take to answer an upgrade.
const UPGRADE: Duration = Duration::from_secs(10);
/// How long an agent may take for the head of any other answer, once the request
/// is with it: time to copy or remove a seat's largest folder.
const HEAD: Duration = Duration::from_mins(2);
/// How long open terminals may take to end when told to.
const DRAIN: Duration = Duration::from_secs(2);

/// Carries to every worker.
pub struct Gateway {
    places: Places,
    /// Origins beside the request's own whose pages may come.
    allowed_origins: Vec<String>,
    stop: CancellationToken,
    terminals: TaskTracker,
}

impl Gateway {
    /// Terminals end when `stop` is cancelled. `allowed_origins` are those that
    /// a proxy in front shows browsers, if it hides the Host header.
    pub fn new(store: Store, allowed_origins: Vec<String>, stop: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            places: Places::new(store),
            allowed_origins,
            stop,
            terminals: TaskTracker::new(),
        })
    }

    /// After `stop`: returns when all terminals have ended, or soon.
    pub async fn drained(&self) {
        self.terminals.close();
        if timeout(DRAIN, self.terminals.wait()).await.is_err() {
            warn!(left = self.terminals.len(), "terminals were cut");
        }
    }
}

/// The routes below `/proxy/`.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/proxy/{*rest}", any(handle))
        .with_state(gateway)
}

async fn handle(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let Some(route) = Route::parse(request.uri().path()) else {
        return Refusal::NOT_FOUND.into_response();
    };
    let span = info_span!("gateway", workshop = %route.workshop, seat = %route.seat);
    let carried = gateway.carry(route, request).instrument(span).await;
    carried.unwrap_or_else(IntoResponse::into_response)
}

impl Gateway {
    async fn carry(&self, route: Route, request: Request) -> Result<Response, Refusal> {
        headers::same_origin(&request, &self.allowed_origins)?;
        let request = form::unfold(&route, request).await?;
        let token = headers::the_token(&request)?;
        let place = self.place(&route, token).await?;
        let query = request.uri().query().map(str::to_owned);
        let path = match query {
            Some(query) => format!("{}?{query}", route.path()),
            None => route.path(),
        };
        match route.verb {
            Verb::Terminal => self.terminal(&place, &path, request).await,
            Verb::Exec | Verb::Renew | Verb::Files(_) => {
                self.plain(&route, &place, &path, request).await
            }
        }
    }

    /// The seat's worker, for a token that is right by what is known here.
    async fn place(&self, route: &Route, token: &str) -> Result<Place, Refusal> {
        let keys = self.places.keys(&route.workshop).await?;
        // An unknown workshop and a bad token look alike.
        let keys = keys.ok_or(Refusal::TOKEN_INVALID)?;
        let claims = keys.verifier.verify(token, Utc::now());
        let claims = claims.map_err(|refused| match refused {
            BadToken::Invalid => Refusal::TOKEN_INVALID,
            BadToken::Expired => Refusal::TOKEN_EXPIRED,
        })?;
        if claims.seat != route.seat {
            return Err(Refusal::OTHER_SEAT);
        }
        self.places.find(&keys, &claims).await
    }

    /// Files, commands, renewal: streamed both ways, as long as it takes.
    async fn plain(
        &self,
        route: &Route,
        place: &Place,
        path: &str,
        request: Request,
    ) -> Result<Response, Refusal> {
        let own = headers::authority(&request);
        let (mut head, body) = request.into_parts();
        headers::destination(&mut head.headers, &route.files_prefix(), own.as_deref())?;
        headers::clean_request(&mut head.headers, false);
        head.uri = place.uri(path)?;
        head.version = Version::HTTP_11;
        head.extensions.clear();
        let request = http::Request::from_parts(head, body);
        let answer = answer(&place.client, request, HEAD).await?;
        if answer.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Refusal::UNREACHED);
        }
        let (mut head, body) = answer.into_parts();
        headers::clean_answer(&mut head.headers, &route.files_prefix());
        head.version = Version::HTTP_11;
        head.extensions.clear();
        Ok(Response::from_parts(head, Body::new(body)))
    }

    /// One upgrade, relayed; then bytes.
    async fn terminal(
        &self,
        place: &Place,
        path: &str,
        mut request: Request,
    ) -> Result<Response, Refusal> {
        if request.version() != Version::HTTP_11
            || !request.headers().contains_key(header::UPGRADE)
            || request.headers().contains_key(header::CONTENT_LENGTH)
            || request.headers().contains_key(header::TRANSFER_ENCODING)
        {
            return Err(Refusal::WEBSOCKET_NEEDED);
        }
        let learner = hyper::upgrade::on(&mut request);
        let (mut head, _) = request.into_parts();
        headers::clean_request(&mut head.headers, true);
        head.uri = place.uri(path)?;
        head.extensions.clear();
        let asked = place
            .client
            .request(http::Request::from_parts(head, Body::empty()));
        let asked = timeout(UPGRADE, asked)
            .await
            .map_err(|_| Refusal::UNREACHED)?;
        let mut answer = asked.map_err(|cause| unreached(&cause))?;
        if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (mut head, body) = answer.into_parts();
            headers::clean_answer(&mut head.headers, "");
            head.extensions.clear();
            return Ok(Response::from_parts(head, Body::new(body)));
        }
        let agent = hyper::upgrade::on(&mut answer);
        let switched = headers::switched(answer.headers()).ok_or(Refusal::UNREACHED)?;
        let stop = self.stop.clone();
        let relayed = async move {
            let (Ok(learner), Ok(agent)) = tokio::join!(learner, agent) else {
                debug!("terminal was gone before it opened");
                return;
            };
            let relay = relay::Relay::new(TokioIo::new(learner), TokioIo::new(agent));
            tokio::select! {
                ended = relay => debug!(?ended, "terminal ended"),
                () = stop.cancelled() => debug!("terminal ended with the gateway"),
            }
        };
        self.terminals.spawn(relayed.in_current_span());
        Ok(switched)
    }
}

/// The head of the agent's answer, waited for no longer than `within` after the
/// request is sent.
async fn answer<C>(
    client: &Client<C, Body>,
    request: http::Request<Body>,
    within: Duration,
) -> Result<http::Response<Incoming>, Refusal>
where
    C: Connect + Clone + Send + Sync + 'static,
{
    let (head, body) = request.into_parts();
    let (body, patience) = Patience::with(body, within);
    tokio::select! {
        sent = client.request(http::Request::from_parts(head, body)) => {
            sent.map_err(|cause| unreached(&cause))
        }
        // Dropped with the request: the agent sees it break off.
        () = patience.ends() => {
            warn!(?within, "agent did not answer in time");
            Err(Refusal::LATE)
        }
    }
}

fn unreached(cause: &hyper_util::client::legacy::Error) -> Refusal {
    warn!(error = cause as &dyn std::error::Error, "agent not reached");
    Refusal::UNREACHED
}

#[cfg(test)]
mod tests;
