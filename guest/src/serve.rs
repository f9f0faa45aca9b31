//! HTTP on both ports: accepting, and the one check that stands before
//! everything.
//!
//! Way: agent -> `accept` -> `admit` (identity, secret) -> terminal or exec
//! here on :3001, files on the other thread on :3002.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http::{HeaderMap, Method, Request, StatusCode};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
};
use tracing::{debug, warn};

use crate::{
    exec::Exec,
    reaper::Reaper,
    reply::{self, Refusal, Reply},
    seat::{Identity, Seat},
    terminal::{Terminals, attach},
};

/// Connections a port holds at once. The agent needs a few dozen; a learner's
/// own loop against it must not exhaust the descriptors of PID 1.
const MAX_CONNECTIONS: usize = 512;
/// A request's head must be here within this, and the next one of a kept
/// connection: the agent keeps one for 20 s at most.
pub(crate) const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// After an accept failed (no descriptors left): time for some to close.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves terminals and commands; answers the bound address.
pub(crate) async fn start(
    seat: &Seat,
    reaper: &Reaper,
    terminals: &Terminals,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(seat.config().terminal_listen).await?;
    let address = listener.local_addr()?;
    let door = Arc::new(Door {
        seat: seat.clone(),
        terminals: terminals.clone(),
        exec: Exec::new(seat.clone(), reaper.clone()),
    });
    tokio::spawn(accept(listener, move |stream| {
        let door = door.clone();
        async move {
            // Small: what a terminal needs once its request line is read.
            let http = http(16 * 1024, HEAD_WITHIN);
            let service = service_fn(move |request| {
                let door = door.clone();
                async move { Ok::<_, Infallible>(door.answer(request).await) }
            });
            let ended = http
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
            if let Err(cause) = ended {
                debug!(%cause, "connection ended");
            }
        }
    }));
    Ok(address)
}

/// HTTP as both ports speak it, with so large a buffer. Who does not finish a
/// head in time gives the place back that [`accept`] gave.
pub(crate) fn http(buffer: usize, head_within: Duration) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(head_within)
        .max_buf_size(buffer);
    http
}

/// Accepts until the runtime ends, each connection in a task of its own.
pub(crate) async fn accept<F, S>(listener: TcpListener, serve: S)
where
    S: Fn(TcpStream) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else {
            return; // never closed
        };
        match listener.accept().await {
            Ok((stream, _)) => {
                // A keystroke's echo must not wait for a fuller packet.
                stream.set_nodelay(true).ok();
                let connection = serve(stream);
                tokio::spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(cause) => {
                warn!(%cause, "could not accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Who asks is the agent of this seat, or nobody.
pub(crate) fn admit(seat: &Seat, headers: &HeaderMap) -> Result<Arc<Identity>, Refusal> {
    let identity = seat.identity().ok_or_else(|| {
        Refusal::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "NOT_CONFIGURED",
            "this seat is still starting",
        )
        .retry_after(1)
    })?;
    let mut offered = headers.get_all("clarateach-secret").iter();
    match (offered.next(), offered.next()) {
        (Some(secret), None) if identity.secret_is(secret.as_bytes()) => Ok(identity),
        _ => Err(Refusal::new(
            StatusCode::UNAUTHORIZED,
            "BAD_SECRET",
            "this port answers only the agent of this seat",
        )),
    }
}

/// What `/health` on both ports says.
pub(crate) fn health(seat: &Seat) -> Reply {
    reply::json(
        StatusCode::OK,
        &serde_json::json!({
            "ok": true,
            "version": env!("CARGO_PKG_VERSION"),
            "instance": seat.instance(),
        }),
    )
}

struct Door {
    seat: Seat,
    terminals: Terminals,
    exec: Exec,
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Reply {
        let identity = match admit(&self.seat, request.headers()) {
            Ok(identity) => identity,
            Err(refusal) => return refusal.into(),
        };
        let path = request.uri().path().to_owned();
        let outcome = match (path.as_str(), request.method()) {
            ("/health", &Method::GET) => Ok(health(&self.seat)),
            ("/terminal", &Method::GET) => attach::open(&self.seat, &self.terminals, request),
            ("/exec", &Method::POST) => self.exec.run(&identity, request).await,
            ("/health" | "/terminal" | "/exec", _) => Err(Refusal::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "BAD_METHOD",
                "this path does not answer that method",
            )),
            _ => Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "NO_SUCH_PATH",
                "here are /terminal, /exec and /health",
            )),
        };
        outcome.unwrap_or_else(Into::into)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::Empty;
    use tokio::{io::AsyncReadExt as _, io::AsyncWriteExt as _, time::timeout};

    use super::*;

    #[tokio::test]
    async fn who_does_not_finish_a_head_is_let_go() {
        let within = Duration::from_millis(200);
        for (begun, answers) in [
            ("", 0),
            ("GET /terminal HTTP/1.1\r\nhost: h\r\n", 0),
            ("GET / HTTP/1.1\r\n\r\n", 1),
            ("GET / HTTP/1.1\r\n\r\nGET /", 1),
        ] {
            let (mut agent, near) = tokio::io::duplex(1024);
            let service = service_fn(|_| async {
                Ok::<_, Infallible>(http::Response::new(Empty::<bytes::Bytes>::new()))
            });
            let connection = http(8 * 1024, within).serve_connection(TokioIo::new(near), service);
            agent.write_all(begun.as_bytes()).await.unwrap();
            let ended = timeout(Duration::from_secs(10), connection).await;
            assert!(ended.is_ok(), "{begun:?}");
            let mut said = String::new();
            agent.read_to_string(&mut said).await.unwrap();
            assert_eq!(said.matches("200 OK").count(), answers, "{begun:?}: {said}");
        }
    }
}
