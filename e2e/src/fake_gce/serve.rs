//! One request: into the ledger, through the script of faults, to the world, and
//! back; or not back.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response, header::AUTHORIZATION};
use http_body_util::Full;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    answer::Ask,
    clock::Time,
    discovery::{Call, admit, route},
    faults::Fault,
    kind::Kind,
    ledger::What,
    operation::Progress,
    refusal::Refusal,
    world::World,
};
use crate::listener::{Answer, HungUp, json, text};

/// How long Google lets a client wait for an operation.
const LONGEST_WAIT: Duration = Duration::from_mins(2);
/// Where the keys of identity tokens are; no part of Compute.
const CERTS: &str = "/oauth2/v3/certs";
const HTML: &str = "<!DOCTYPE html><html lang=en><title>Error (Server Error)!!1</title>";

/// What requests share.
pub(crate) struct Shared {
    pub(crate) time: Time,
    pub(crate) world: Mutex<World>,
    /// Rings whenever something may have changed.
    pub(crate) changed: watch::Sender<u64>,
}

impl Shared {
    /// Acts on the world as it is now.
    pub(crate) fn act<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.world.lock().unwrap();
        world.settle(self.time.now());
        let did = act(&mut world);
        drop(world);
        self.changed.send_modify(|turn| *turn += 1);
        did
    }
}

/// Answers one request.
pub(crate) async fn handle(shared: Arc<Shared>, request: Request<Bytes>) -> Answer {
    let path = request.uri().path().to_owned();
    if path == CERTS {
        let keys = shared.world.lock().unwrap().config.keys.clone();
        return Ok(json(200, &keys.published()));
    }
    let call = route(request.method(), &path);
    let kind = call.as_ref().map(|call| call.kind);
    let body = serde_json::from_slice::<Value>(request.body()).ok();
    let line = format!("{} {}", request.method(), request.uri());
    let (number, fault) = shared.act(|world| {
        world.last_request += 1;
        let number = world.last_request;
        let what = What::Request {
            number,
            kind,
            line,
            body: body.clone(),
        };
        world.ledger.write(world.now, what);
        (number, kind.and_then(|kind| world.faults.draw(kind)))
    });
    let log = |status: u16, reason: Option<&'static str>| {
        let fault = fault.clone();
        let what = What::Answer {
            number,
            status,
            reason,
            fault,
        };
        shared.act(|world| world.ledger.write(world.now, what));
    };
    if let Some(fault) = fault.as_ref().filter(|fault| fault.is_before()) {
        let refused = before(fault);
        log(
            refused.as_ref().map_or(0, |r| r.0),
            refused.as_ref().map(|r| r.1),
        );
        return match (fault, refused) {
            (_, Some((_, _, response))) => Ok(response),
            (Fault::Hang, None) => std::future::pending().await,
            (_, None) => Err(HungUp),
        };
    }
    let answer = match call {
        None => Err(Refusal::not_found(&path)),
        Some(call) => {
            let ask = (number, call, body, fault.clone());
            admitted(&shared, &request, ask).await
        }
    };
    match &answer {
        Ok(_) => log(200, None),
        Err(refusal) => log(refusal.code, Some(refusal.reason)),
    }
    let (status, body) = match answer {
        Ok(body) => (200, body),
        Err(refusal) => (refusal.code, refusal.body()),
    };
    match fault {
        Some(Fault::HangAfter) => std::future::pending().await,
        Some(Fault::Lost) => Err(HungUp),
        Some(Fault::WrongType) => Ok(text(200, "text/html; charset=UTF-8", HTML)),
        Some(Fault::Truncated) => {
            let mut half = body.to_string();
            half.truncate(half.len() / 2);
            Ok(text(status, "application/json; charset=UTF-8", half))
        }
        _ => Ok(json(status, &body)),
    }
}

/// Of a fault before anything is done: the status, the reason and the answer, if
/// there is one.
fn before(fault: &Fault) -> Option<(u16, &'static str, Response<Full<Bytes>>)> {
    let refusal = match fault {
        Fault::RateLimit => Refusal::new(403, "rateLimitExceeded", "Rate Limit Exceeded"),
        Fault::Quota(metric) => {
            let message = format!("Quota '{metric}' exceeded.");
            Refusal::new(403, "quotaExceeded", message)
        }
        Fault::TooMany => Refusal::new(429, "rateLimitExceeded", "Too Many Requests"),
        Fault::Status(502) => {
            return Some((502, "", text(502, "text/html; charset=UTF-8", HTML)));
        }
        Fault::Status(503) => Refusal::new(503, "backendError", "Backend Error"),
        Fault::Status(code) => Refusal::new(*code, "internalError", "Internal error encountered."),
        _ => return None,
    };
    let answer = json(refusal.code, &refusal.body());
    Some((refusal.code, refusal.reason, answer))
}

/// Who asks, what with, and the answer; a wait is answered when it is over.
async fn admitted(
    shared: &Shared,
    request: &Request<Bytes>,
    (number, mut call, body, fault): (u64, Call, Option<Value>, Option<Fault>),
) -> Result<Value, Refusal> {
    let bearer = shared.world.lock().unwrap().config.bearer.clone();
    let said = request.headers().get(AUTHORIZATION);
    let said = said.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
    if bearer.is_some() && said != bearer.as_deref() {
        let message = "Request had invalid authentication credentials.";
        return Err(Refusal::new(401, "authError", message));
    }
    admit(&mut call, request.uri().query().unwrap_or_default())?;
    if !request.body().is_empty() && body.is_none() {
        return Err(Refusal::payload("resource", "Not JSON"));
    }
    let waits = matches!(
        call.kind,
        Kind::WaitZoneOperation | Kind::WaitGlobalOperation
    );
    let ask = Ask {
        number,
        call,
        body,
        fault,
    };
    if waits {
        until_done(shared, &ask.call).await?;
    }
    shared.act(|world| world.answer(&ask))
}

async fn until_done(shared: &Shared, call: &Call) -> Result<(), Refusal> {
    let mut changed = shared.changed.subscribe();
    let over = shared.time.now() + LONGEST_WAIT;
    let wait = async {
        loop {
            let found = {
                let mut world = shared.world.lock().unwrap();
                world.settle(shared.time.now());
                world.find_operation(call).map(|o| o.progress)?
            };
            if found == Progress::Done || shared.time.now() >= over {
                return Ok(());
            }
            let _more = changed.changed().await;
        }
    };
    let longest = shared.time.real_until(over).unwrap_or(LONGEST_WAIT);
    tokio::time::timeout(longest, wait).await.unwrap_or(Ok(()))
}
