//! Who may come in: a seat token becomes a [`Permit`] before anything else is
//! looked at.
//!
//! Way: headers and [`Route`] -> the one token -> its claims -> the seat's
//! epoch -> [`Permit`], or a [`Refusal`].

mod known;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use clarateach_domain::{
    microvm::MicroVmState,
    seat_token::{BadToken, Claims, Mode, Verifier},
};
use http::{HeaderMap, Method, StatusCode, header};

use self::known::KnownTokens;
use super::{
    refuse::Refusal,
    route::{Route, Verb},
};
use crate::fleet::{Door, Fleet};

/// The terminal's wire; see `decisions.md` §4.
pub(crate) const TERMINAL_PROTOCOL: &str = "clarateach.terminal.v1";
/// Browsers cannot set Authorization on a WebSocket: the token rides in an offer.
const BEARER_OFFER: &str = "clarateach.bearer.v1.";

/// A caller who may come in, and the way.
#[derive(Debug, Clone)]
pub(crate) struct Permit {
    /// What the token says.
    pub(crate) claims: Claims,
    /// To the seat.
    pub(crate) door: Door,
}

/// Checks tokens for one workshop's seats on this worker.
pub(crate) struct Gatekeeper {
    tokens: KnownTokens,
    fleet: Fleet,
}

impl Gatekeeper {
    /// Tokens by `verifier`, seats by `fleet`.
    pub(crate) fn new(verifier: Verifier, fleet: Fleet) -> Arc<Self> {
        let tokens = KnownTokens::new(verifier);
        Arc::new(Self { tokens, fleet })
    }

    /// The permit these headers give on `route` at `now`.
    pub(crate) fn admit(
        &self,
        route: &Route,
        method: &Method,
        query: Option<&str>,
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<Permit, Refusal> {
        let claims = self.claims(query, headers, now)?;
        may(&claims, route, method)?;
        let door = self.fleet.door(route.seat).ok_or(UNKNOWN_SEAT)?;
        in_force(&claims, &door, route)?;
        Ok(Permit { claims, door })
    }

    fn claims(
        &self,
        query: Option<&str>,
        headers: &HeaderMap,
        now: DateTime<Utc>,
    ) -> Result<Claims, Refusal> {
        if query.is_some_and(names_a_token) {
            return Err(IN_URL);
        }
        let token = the_token(headers)?;
        self.tokens
            .verify(token, now)
            .map_err(|refused| match refused {
                BadToken::Invalid => INVALID,
                BadToken::Expired => EXPIRED,
            })
    }
}

const MISSING: Refusal = Refusal::new(
    StatusCode::UNAUTHORIZED,
    "TOKEN_MISSING",
    "a seat token is needed, in Authorization: Bearer or as a WebSocket subprotocol offer",
);
const SEVERAL: Refusal = Refusal::new(
    StatusCode::UNAUTHORIZED,
    "TOKEN_AMBIGUOUS",
    "exactly one seat token is needed",
);
const IN_URL: Refusal = Refusal::new(
    StatusCode::UNAUTHORIZED,
    "TOKEN_IN_URL",
    "a seat token must never stand in a URL: it ends up in logs",
);
const INVALID: Refusal = Refusal::new(
    StatusCode::UNAUTHORIZED,
    "TOKEN_INVALID",
    "the seat token is not valid here",
);
const EXPIRED: Refusal = Refusal::new(
    StatusCode::UNAUTHORIZED,
    "TOKEN_EXPIRED",
    "the seat token has expired: join again with the reconnect code",
);
const OTHER_SEAT: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "TOKEN_OF_ANOTHER_SEAT",
    "the seat token is for another seat",
);
const TERMINAL_ONLY: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "TERMINAL_ONLY",
    "observers get neither files nor commands",
);
const READ_ONLY: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "READ_ONLY",
    "this token reads files and does nothing else",
);
const REVOKED: Refusal = Refusal::new(
    StatusCode::FORBIDDEN,
    "TOKEN_REVOKED",
    "the seat was reset or taken away since this token was made",
);
const UNKNOWN_SEAT: Refusal = Refusal::new(
    StatusCode::NOT_FOUND,
    "SEAT_UNKNOWN",
    "the seat is not on this worker",
);
const NO_EPOCH: Refusal = Refusal::for_now(
    "SEAT_UNSETTLED",
    "the worker does not yet know who holds the seat",
);
const NOT_RUNNING: Refusal = Refusal::for_now("NOT_RUNNING", "the seat's machine is not ready");

/// The one token in the headers, wherever it is.
fn the_token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let mut tokens = Vec::with_capacity(1);
    for value in headers.get_all(header::AUTHORIZATION) {
        let value = value.to_str().map_err(|_| INVALID)?;
        let (scheme, token) = value.split_once(' ').ok_or(INVALID)?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Err(INVALID);
        }
        tokens.push(token.trim_matches(' '));
    }
    let offers = offers(headers).ok_or(INVALID)?;
    let borne = offers.iter().filter_map(|o| o.strip_prefix(BEARER_OFFER));
    tokens.extend(borne);
    match tokens.as_slice() {
        [] => Err(MISSING),
        [token] => Ok(token),
        _ => Err(SEVERAL),
    }
}

/// What a WebSocket client offers to speak; `None` if it is not even text.
pub(crate) fn offers(headers: &HeaderMap) -> Option<Vec<&str>> {
    let mut offers = Vec::new();
    for value in headers.get_all(header::SEC_WEBSOCKET_PROTOCOL) {
        let text = value.to_str().ok()?;
        offers.extend(text.split(',').map(str::trim).filter(|o| !o.is_empty()));
    }
    Some(offers)
}

/// Whether a query has a parameter that is meant to be a token.
fn names_a_token(query: &str) -> bool {
    query.split('&').any(|pair| {
        let name = pair.split('=').next().unwrap_or_default();
        ["token", "access_token", "bearer"]
            .iter()
            .any(|bad| name.eq_ignore_ascii_case(bad))
    })
}

/// Whether a call of this method changes no file. PROPFIND is how a folder is looked at.
fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD) || method.as_str() == "PROPFIND"
}

/// Whether the claims are for this route, and for doing this there, at all.
fn may(claims: &Claims, route: &Route, method: &Method) -> Result<(), Refusal> {
    if claims.workshop != route.workshop || claims.seat != route.seat {
        return Err(OTHER_SEAT);
    }
    match (claims.mode, &route.verb) {
        (Mode::Drive, _) | (_, Verb::Renew) | (Mode::Assist | Mode::Observe, Verb::Terminal) => {
            Ok(())
        }
        (Mode::Assist | Mode::Observe, Verb::Exec | Verb::Files(_)) => Err(TERMINAL_ONLY),
        (Mode::Collect, Verb::Files(_)) if reads(method) => Ok(()),
        (Mode::Collect, _) => Err(READ_ONLY),
    }
}

/// Whether the claims still count, and the machine is there to be reached.
fn in_force(claims: &Claims, door: &Door, route: &Route) -> Result<(), Refusal> {
    let life = door.life.borrow();
    let epoch = match life.epoch {
        None => return Err(NO_EPOCH),
        Some(epoch) if claims.epoch < epoch => return Err(REVOKED),
        Some(epoch) => epoch,
    };
    let fresh = life.made_for >= epoch;
    let ready = fresh && life.state == MicroVmState::Ready && !door.secret.is_empty();
    if ready || route.verb == Verb::Renew {
        Ok(())
    } else {
        Err(NOT_RUNNING)
    }
}

#[cfg(test)]
mod tests;
