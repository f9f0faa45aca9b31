//! The one port: connections in, each to the half it has a right to.
//!
//! Way: accept -> caps -> handshake -> caps -> by [`Peer`] the gRPC of the control plane
//! or the proxy of learners and gateway. Nothing a peer does ends the loop.

mod addresses;
mod h2;

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderValue, Method, Request, Response, header};
use hyper::{
    body::Incoming,
    server::conn::http1,
    service::{Service as _, service_fn},
};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use rustix::net::sockopt;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tokio_rustls::server::TlsStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Status, service::Routes};
use tracing::{debug, warn};

use self::{
    addresses::{Addresses, Place},
    h2::Patience,
};
use crate::{
    proxy::{
        Proxy,
        refuse::{Body, Refusal, full},
    },
    tls::{Front, HandshakeError, Identity, Peer},
};

/// Handshakes at one time: what more learners come wait their turn.
const HANDSHAKES: usize = 512;
/// A request's head must be here within this.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// When an HTTP/2 connection that asks for nothing ends: one that never did as
/// soon as a head that is late.
const PATIENCE: Patience = Patience {
    first: HEAD_TIMEOUT,
    next: Duration::from_mins(1),
};
/// Bytes of a request's head.
const HEAD_BYTES: u16 = 16 * 1024;
/// Fields of a request's head.
const HEAD_FIELDS: usize = 100;
/// Bytes taken from a connection at once.
const READ_BUFFER: usize = 128 * 1024;
/// A peer whose machine has vanished is noticed after about a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const UNACKNOWLEDGED: Duration = Duration::from_mins(1);
/// Rest after an error of accept, such as too many open files.
const ACCEPT_REST: Duration = Duration::from_millis(50);

/// What an agent without a certificate answers: whoever asks cannot know yet whether
/// it is the worker it should be.
const ENROLMENT: [&str; 2] = [
    "/clarateach.agent.v1.AgentService/Enrol",
    "/clarateach.agent.v1.AgentService/InstallCertificate",
];

/// Who is at the other end of a connection, with its place among those that
/// are open: whoever carries the connection on after an upgrade keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    /// By its certificate.
    pub(crate) peer: Peer,
    _place: Arc<Place>,
}

/// The port and what is behind it.
pub(crate) struct Door {
    /// Who may come in.
    pub(crate) front: Front,
    /// Who this is; until that is certified, almost nothing is answered.
    pub(crate) identity: Arc<Identity>,
    /// For the control plane.
    pub(crate) control: Routes,
    /// For learners.
    pub(crate) proxy: Arc<Proxy>,
}

impl Door {
    /// Serves until `stop` is cancelled, then lets requests end; `open` is how
    /// the caller waits for that.
    pub(crate) async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        stop: CancellationToken,
        open: TaskTracker,
    ) {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        let addresses = Addresses::default();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = stop.cancelled() => return,
            };
            let (stream, from) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    rest_after(&error).await;
                    continue;
                }
            };
            let Some(place) = addresses.enter(from.ip()) else {
                debug!(%from, "connection refused: too many from this address");
                continue;
            };
            let (door, stop, handshakes) = (self.clone(), stop.clone(), handshakes.clone());
            open.spawn(async move {
                let turn = handshakes.acquire_owned().await;
                if let Err(error) = tune(&stream) {
                    debug!(%from, %error, "connection was gone at once");
                    return;
                }
                let shaken = door.front.accept(stream).await;
                drop(turn);
                match shaken {
                    Ok((stream, peer)) => {
                        let Some(place) = place.settle(peer) else {
                            debug!(%from, ?peer, "connection refused: too many like it");
                            return;
                        };
                        let caller = Caller {
                            peer,
                            _place: Arc::new(place),
                        };
                        door.connection(stream, caller, from, stop).await;
                    }
                    Err(error @ HandshakeError::Elsewhere(_)) => {
                        warn!(%from, %error, "control connection refused");
                    }
                    Err(error) => {
                        debug!(%from, error = &error as &dyn std::error::Error, "handshake failed");
                    }
                }
            });
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TlsStream<TcpStream>,
        caller: Caller,
        from: SocketAddr,
        stop: CancellationToken,
    ) {
        let peer = caller.peer;
        let is_h2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        let io = TokioIo::new(stream);
        let ended = match (peer, is_h2) {
            (Peer::ControlPlane, true) => {
                let routes = TowerToHyperService::new(self.control.clone().prepare());
                let service = service_fn(move |request: Request<Incoming>| {
                    let (routes, known) = (routes.clone(), self.identity.certified());
                    async move {
                        if known || ENROLMENT.contains(&request.uri().path()) {
                            routes.call(request).await
                        } else {
                            Ok(unknown().into_http())
                        }
                    }
                });
                h2::serve(io, service, PATIENCE, stop).await
            }
            (Peer::ControlPlane, false) => {
                // gRPC wants HTTP/2; what comes here is a mistake and is told so.
                let service = TowerToHyperService::new(self.control.clone().prepare());
                h1_settings().serve_connection(io, service).await
            }
            (Peer::Learner | Peer::Gateway, true) => {
                let service = service_fn(|request| self.clone().learner(request, caller.clone()));
                h2::serve(io, service, PATIENCE, stop).await
            }
            (Peer::Learner | Peer::Gateway, false) => {
                let service = service_fn(|request| self.clone().learner(request, caller.clone()));
                let connection = h1_settings().serve_connection(io, service).with_upgrades();
                let mut connection = std::pin::pin!(connection);
                tokio::select! {
                    ended = &mut connection => ended,
                    () = stop.cancelled() => {
                        connection.as_mut().graceful_shutdown();
                        connection.await
                    }
                }
            }
        };
        if let Err(error) = ended {
            debug!(%from, ?peer, error = &error as &dyn std::error::Error, "connection broke off");
        }
    }

    /// Answers one request that did not come from the control plane.
    async fn learner(
        self: Arc<Self>,
        request: Request<Incoming>,
        caller: Caller,
    ) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path();
        let answer = if path.starts_with("/proxy/") {
            // Boxed: the connection would else be as large as its largest request.
            Box::pin(self.proxy.handle(request, caller)).await
        } else if path == "/health"
            && caller.peer == Peer::Learner
            && matches!(*request.method(), Method::GET | Method::HEAD)
        {
            health()
        } else {
            Refusal::NOT_FOUND.answer()
        };
        Ok(answer)
    }
}

fn unknown() -> Status {
    Status::failed_precondition("this agent has no certificate yet: it answers Enrol alone")
}

/// Says that the agent answers, and nothing about anybody's seat.
fn health() -> Response<Body> {
    let json = serde_json::json!({"status": "ok", "version": env!("CARGO_PKG_VERSION")});
    let mut answer = Response::new(full(json.to_string()));
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn h1_settings() -> http1::Builder {
    let mut settings = http1::Builder::new();
    settings
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_headers(HEAD_FIELDS)
        .max_header_size(HEAD_BYTES.into())
        .max_buf_size(READ_BUFFER);
    settings
}

/// Small writes at once, and vanished peers noticed.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    sockopt::set_socket_keepalive(stream, true)?;
    sockopt::set_tcp_keepidle(stream, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(stream, KEEPALIVE_EVERY)?;
    let unacknowledged = u32::try_from(UNACKNOWLEDGED.as_millis()).unwrap_or(u32::MAX);
    sockopt::set_tcp_user_timeout(stream, unacknowledged)?;
    Ok(())
}

/// A connection that was gone before it was taken is nothing; a full table of
/// files is worth a line and a rest, and never the end of the loop.
async fn rest_after(error: &io::Error) {
    if matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    ) {
        return;
    }
    warn!(%error, "connection could not be accepted");
    tokio::time::sleep(ACCEPT_REST).await;
}
