//! One port for everything: gRPC, grpc-web, JSON, health, metrics, gateway.
//!
//! Way: TCP -> TLS where a certificate is configured -> HTTP/1.1 or h2 -> `routes`.
//! When told to stop: no new connections, streams end with a reason, requests
//! under way finish within a bound.

mod addresses;
mod answer;
mod gather;
mod metrics;
mod prompt;
mod routes;
mod tls;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use http::Request;
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use rustix::net::sockopt;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, info, warn};

use self::{addresses::Addresses, prompt::Prompt};
pub use routes::{Doors, Reach, router};
pub use tls::acceptor;

/// Who is silent for so long after connecting, or while sending headers, is
/// disconnected. Bodies of calls have [`gather::BODY`]; those of files take as
/// long as they take.
const HANDSHAKE: Duration = Duration::from_secs(5);
const HEADERS: Duration = Duration::from_secs(10);
/// Dead peers of open streams are noticed within twice this.
const PING: Duration = Duration::from_secs(20);
/// Connections at once: each costs tens of KiB.
const CONNECTIONS: usize = 8192;
/// From one address: a school of five hundred sits behind one.
const PER_ADDRESS: usize = 4096;
/// A peer whose machine has vanished is noticed after about a minute.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(10);
const UNACKNOWLEDGED: Duration = Duration::from_mins(1);
/// Streams at once on one h2 connection.
const STREAMS: u32 = 256;
/// Bytes of all headers of one request.
const HEADER_BYTES: u32 = 64 * 1024;
/// How long requests under way may take to finish after the stop.
const DRAIN: Duration = Duration::from_secs(10);

/// Where a request came from; on every request of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The other end of the connection.
    pub address: SocketAddr,
    /// Whether this server terminated TLS for it.
    pub tls: bool,
}

/// Serves `router` on `listener` until `stop`, then drains. Behind a trusted
/// proxy (`proxied`) all connections have its address and share all places.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: axum::Router,
    proxied: bool,
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let each = if proxied { CONNECTIONS } else { PER_ADDRESS };
    let places = Addresses::new(each, CONNECTIONS);
    let server = Arc::new(builder());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(cause) => {
                warn!(error = %cause, "could not accept a connection");
                // Out of file descriptors, usually: let some come back.
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let Some(place) = places.enter(address.ip()) else {
            debug!(%address, "connection refused: too many are open");
            continue;
        };
        let (router, server, tls) = (router.clone(), server.clone(), tls.clone());
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _place = place;
            if let Err(error) = tune(&stream) {
                debug!(%address, %error, "a connection was gone at once");
                return;
            }
            let peer = Peer {
                address,
                tls: tls.is_some(),
            };
            match tls {
                None => carry(&server, stream, peer, router, watcher).await,
                Some(tls) => match timeout(HANDSHAKE, tls.accept(stream)).await {
                    Ok(Ok(stream)) => carry(&server, stream, peer, router, watcher).await,
                    Ok(Err(cause)) => debug!(error = %cause, "a TLS handshake failed"),
                    Err(_) => debug!("a TLS handshake took too long"),
                },
            }
        });
    }
    drop(listener);
    if timeout(DRAIN, graceful.shutdown()).await.is_err() {
        info!("connections were cut");
    }
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

fn builder() -> auto::Builder<TokioExecutor> {
    let mut server = auto::Builder::new(TokioExecutor::new());
    server
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_buf_size(HEADER_BYTES as usize);
    server
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING)
        .keep_alive_timeout(PING)
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(HEADER_BYTES)
        .max_pending_accept_reset_streams(32);
    server
}

async fn carry<S>(
    server: &auto::Builder<TokioExecutor>,
    stream: S,
    peer: Peer,
    router: axum::Router,
    watcher: hyper_util::server::graceful::Watcher,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = router.map_request(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        request.map(axum::body::Body::new)
    });
    let service = TowerToHyperService::new(service);
    let stream = TokioIo::new(Prompt::new(stream, HEADERS));
    let connection = server.serve_connection_with_upgrades(stream, service);
    if let Err(cause) = watcher.watch(connection.into_owned()).await {
        debug!(error = %cause, "a connection broke");
    }
}
