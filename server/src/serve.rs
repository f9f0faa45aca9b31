//! One port for everything: gRPC, grpc-web, JSON, health, metrics, gateway.
//!
//! Way: TCP -> TLS where a certificate is configured -> HTTP/1.1 or h2 -> `routes`.
//! When told to stop: no new connections, streams end with a reason, requests
//! under way finish within a bound.

mod metrics;
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
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::{debug, info, warn};

pub use routes::{Doors, Reach, router};
pub use tls::acceptor;

/// Who is silent for so long after connecting, or while sending headers, is
/// disconnected. Bodies take as long as they take.
const HANDSHAKE: Duration = Duration::from_secs(5);
const HEADERS: Duration = Duration::from_secs(10);
/// Dead peers of open streams are noticed within twice this.
const PING: Duration = Duration::from_secs(20);
/// Connections at once: each costs tens of KiB.
const CONNECTIONS: usize = 4096;
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

/// Serves `router` on `listener` until `stop`, then drains.
pub async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: axum::Router,
    stop: CancellationToken,
) {
    let graceful = GracefulShutdown::new();
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let server = Arc::new(builder());
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let (stream, address, place) = match accepted {
            Ok(accepted) => accepted,
            Err(cause) => {
                warn!(error = %cause, "could not accept a connection");
                // Out of file descriptors, usually: let some come back.
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let (router, server, tls) = (router.clone(), server.clone(), tls.clone());
        let watcher = graceful.watcher();
        tokio::spawn(async move {
            let _place = place;
            let _ = stream.set_nodelay(true);
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

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await;
    let place = place.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    Ok((stream, address, place))
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
    let connection = server.serve_connection_with_upgrades(TokioIo::new(stream), service);
    if let Err(cause) = watcher.watch(connection.into_owned()).await {
        debug!(error = %cause, "a connection broke");
    }
}
