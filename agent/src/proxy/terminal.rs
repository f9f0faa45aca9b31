//! Opens a terminal: one upgrade relayed, then bytes.
//!
//! Way: the learner's upgrade -> an upgrade of our own to the guest -> its 101,
//! cleaned, to the learner -> [`Splice`] until the session ends.

use std::time::Duration;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version,
    header::{
        CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
        SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::{
    body::Incoming,
    client::conn::http1,
    upgrade::{OnUpgrade, Upgraded},
};
use hyper_util::rt::TokioIo;
use tokio::{net::TcpStream, time::timeout};
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use super::{
    admit::{TERMINAL_PROTOCOL, offers},
    deadline::{Ending, Session},
    forward::Hop,
    headers::{SECRET, VIEWER},
    refuse::{Body, Refusal, empty, full},
    splice::Splice,
    upstream,
};
use crate::{fleet::Fleet, serve::Caller};

/// A guest that does not answer an upgrade within this has gone: it starts a shell
/// first, which takes seconds where KVM emulates and many join at once.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Between asking the guest to close a socket and cutting it.
const CUT_AFTER: Duration = Duration::from_millis(500);
/// As much of a guest's refusal as is passed on.
const REFUSAL_LIMIT: usize = 4096;

const NOT_A_WEBSOCKET: Refusal = Refusal::new(
    StatusCode::UPGRADE_REQUIRED,
    "WEBSOCKET_NEEDED",
    "a terminal is a WebSocket (version 13) over HTTP/1.1",
);
const UNREACHED: Refusal = Refusal {
    status: StatusCode::BAD_GATEWAY,
    reason: "SEAT_UNREACHABLE",
    message: "the seat's machine did not answer",
    retry_after_seconds: 1,
};

/// What the learner's upgrade must say to be passed on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Handshake {
    key: HeaderValue,
    /// Whether our wire was offered; nothing else ever is to a guest.
    ours: bool,
}

impl Handshake {
    /// Reads an upgrade, strictly (RFC 6455 §4.2.1).
    pub(crate) fn read<B>(request: &Request<B>) -> Result<Self, Refusal> {
        let headers = request.headers();
        let key = one(headers, SEC_WEBSOCKET_KEY).ok_or(NOT_A_WEBSOCKET)?;
        let version = one(headers, SEC_WEBSOCKET_VERSION);
        let upgrade = one(headers, UPGRADE);
        let right = request.method() == Method::GET
            && request.version() == Version::HTTP_11
            && key.len() == 24
            && version.is_some_and(|v| v == "13")
            && upgrade.is_some_and(|v| v.as_bytes().eq_ignore_ascii_case(b"websocket"))
            && !headers.contains_key(http::header::CONTENT_LENGTH)
            && !headers.contains_key(http::header::TRANSFER_ENCODING)
            && connection_upgrades(headers);
        if !right {
            return Err(NOT_A_WEBSOCKET);
        }
        let offers = offers(headers).unwrap_or_default();
        Ok(Self {
            key: key.clone(),
            ours: offers.contains(&TERMINAL_PROTOCOL),
        })
    }
}

fn one(headers: &HeaderMap, name: http::HeaderName) -> Option<&HeaderValue> {
    let mut all = headers.get_all(name).iter();
    let first = all.next()?;
    all.next().is_none().then_some(first)
}

fn connection_upgrades(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
}

/// A terminal about to be opened.
pub(crate) struct Opening {
    /// Where to.
    pub(crate) hop: Hop,
    /// What the learner said.
    pub(crate) handshake: Handshake,
    /// For how long.
    pub(crate) session: Session,
    /// For whom.
    pub(crate) caller: Caller,
}

/// Relays the upgrade. After the answer is sent, a task of its own carries the
/// terminal until `session` ends.
pub(crate) async fn open(
    fleet: &Fleet,
    terminals: &TaskTracker,
    opening: Opening,
    mut request: Request<Body>,
) -> Result<Response<Body>, Refusal> {
    let Opening {
        hop,
        handshake,
        session,
        caller,
    } = opening;
    let learner = hyper::upgrade::on(&mut request);
    let asked = timeout(ANSWER_TIMEOUT, ask(&hop, &handshake)).await;
    let answer = asked.unwrap_or_else(|_| Err("the guest took too long".into()));
    let mut answer = answer.map_err(|error| {
        tracing::warn!(%error, "guest's terminal not reached");
        UNREACHED
    })?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Ok(refused(answer).await);
    }
    let mut out = Response::new(empty());
    *out.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = out.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    let accept = answer.headers_mut().remove(SEC_WEBSOCKET_ACCEPT);
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept.ok_or(UNREACHED)?);
    if answer.headers().contains_key(SEC_WEBSOCKET_PROTOCOL) && handshake.ours {
        let ours = HeaderValue::from_static(TERMINAL_PROTOCOL);
        headers.insert(SEC_WEBSOCKET_PROTOCOL, ours);
    }
    let guest = hyper::upgrade::on(answer);
    let carrying = carry(fleet.clone(), learner, guest, session);
    terminals.spawn(async move {
        carrying.await;
        drop(caller);
    });
    Ok(out)
}

/// Asks the guest for a terminal, on a connection of its own.
async fn ask(
    hop: &Hop,
    handshake: &Handshake,
) -> Result<Response<Incoming>, Box<dyn std::error::Error + Send + Sync>> {
    let stream = upstream::dial(hop.target.address, hop.target.port).await?;
    let (mut sender, connection) = http1::Builder::new()
        .max_headers(100)
        .handshake(TokioIo::new(stream))
        .await?;
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::get(&hop.path)
        .header(HOST, format!("{}:{}", hop.target.address, hop.target.port))
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(SEC_WEBSOCKET_VERSION, "13")
        .header(SEC_WEBSOCKET_KEY, &handshake.key)
        .header(SECRET, &hop.secret)
        .header(VIEWER, &hop.viewer);
    if handshake.ours {
        request = request.header(SEC_WEBSOCKET_PROTOCOL, TERMINAL_PROTOCOL);
    }
    Ok(sender
        .send_request(request.body(Empty::<Bytes>::new())?)
        .await?)
}

/// A guest's no, with its status and as much of its text as is fit to show.
async fn refused(answer: Response<Incoming>) -> Response<Body> {
    let status = answer.status();
    if !status.is_client_error() && status != StatusCode::SERVICE_UNAVAILABLE {
        return UNREACHED.answer();
    }
    // 401 would tell the learner that their token was wrong: it was ours.
    if status == StatusCode::UNAUTHORIZED {
        tracing::error!("guest refused the agent's secret");
        return UNREACHED.answer();
    }
    let body = Limited::new(answer.into_body(), REFUSAL_LIMIT).collect();
    let text = timeout(ANSWER_TIMEOUT, body).await;
    let text = text
        .ok()
        .and_then(Result::ok)
        .map(http_body_util::Collected::to_bytes);
    let mut out =
        Refusal::new(status, "TERMINAL_REFUSED", "the seat refused the terminal").answer();
    // The guest speaks the same JSON; anything else is not passed on.
    let json = text.filter(|text| {
        serde_json::from_slice::<serde_json::Value>(text).is_ok_and(|v| v.get("error").is_some())
    });
    if let Some(json) = json {
        *out.body_mut() = full(json);
    }
    out
}

/// Both ends after the 101, until one closes or the session ends.
async fn carry(fleet: Fleet, learner: OnUpgrade, guest: OnUpgrade, mut session: Session) {
    let Some(splice) = both(learner, guest).await else {
        tracing::debug!("terminal was gone before it opened");
        return;
    };
    let mut splice = std::pin::pin!(splice);
    let ending = tokio::select! {
        ended = &mut splice => return log_end(ended),
        ending = session.ended() => ending,
    };
    tracing::info!(seat = %session.seat(), ?ending, "terminal ended");
    let asking = close(&fleet, &session, ending);
    // The guest's close frame must still reach the learner.
    let _cut = timeout(CUT_AFTER, async { tokio::join!(asking, splice) }).await;
}

async fn close(fleet: &Fleet, session: &Session, ending: Ending) {
    let viewers = vec![session.viewer.clone()];
    fleet
        .close_viewers(session.seat(), viewers, ending.code(), ending.reason())
        .await;
}

fn log_end(ended: std::io::Result<()>) {
    if let Err(error) = ended {
        tracing::debug!(%error, "terminal broke off");
    }
}

/// The raw ends, with what was read behind the two heads.
async fn both(learner: OnUpgrade, guest: OnUpgrade) -> Option<Splice<TlsStream<TcpStream>>> {
    let (learner, guest) = timeout(ANSWER_TIMEOUT, async { tokio::try_join!(learner, guest) })
        .await
        .ok()?
        .ok()?;
    let learner = raw::<TokioIo<TlsStream<TcpStream>>>(learner)?;
    let guest = raw::<TokioIo<TcpStream>>(guest)?;
    Some(Splice::new(
        learner.0.into_inner(),
        learner.1,
        guest.0.into_inner(),
        guest.1,
    ))
}

fn raw<T: hyper::rt::Read + hyper::rt::Write + Unpin + 'static>(
    upgraded: Upgraded,
) -> Option<(T, Bytes)> {
    let parts = upgraded.downcast::<T>().ok()?;
    Some((parts.io, parts.read_buf))
}
