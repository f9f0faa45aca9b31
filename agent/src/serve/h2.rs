//! HTTP/2 as this port speaks it, and the end of a connection that asks for nothing.
//!
//! Way: every request of the connection -> [`Counted`] -> [`Requests`], until the
//! last byte of its answer -> [`Requests::quiet`] -> [`serve`] ends. HTTP/1.1 needs
//! none of it: a connection there that says nothing is one whose next head is late.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    rt::{Read, Write},
    server::conn::http2,
    service::Service,
};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::{sync::watch, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::proxy::refuse::BoxError;

/// How long a connection may take to ask for something.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// For the first time.
    pub(super) first: Duration,
    /// After its last answer.
    pub(super) next: Duration,
}

/// Serves one HTTP/2 connection: until its end, until the agent's, or until it
/// has asked for nothing for too long.
pub(super) async fn serve<I, S, B>(
    io: I,
    service: S,
    patience: Patience,
    stop: CancellationToken,
) -> hyper::Result<()>
where
    I: Read + Write + Unpin,
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S::Future: Send + 'static,
    B: http_body::Body<Data: Send, Error: Into<BoxError>> + Unpin + Send + 'static,
{
    let requests = Requests::default();
    let counted = Counted::new(service, requests.clone());
    let connection = settings().serve_connection(io, counted);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = &mut connection => return ended,
        () = requests.quiet(patience) => {}
        () = stop.cancelled() => {}
    }
    // Asks the other end to go, which one that says nothing does not hear.
    connection.as_mut().graceful_shutdown();
    tokio::select! {
        ended = &mut connection => ended,
        () = requests.quiet(Patience { next: patience.first, ..patience }) => Ok(()),
    }
}

fn settings() -> http2::Builder<TokioExecutor> {
    let mut settings = http2::Builder::new(TokioExecutor::new());
    settings
        .timer(TokioTimer::new())
        .keep_alive_interval(super::KEEPALIVE_IDLE)
        .keep_alive_timeout(super::KEEPALIVE_EVERY)
        .max_concurrent_streams(100)
        .max_header_list_size(super::HEAD_BYTES.into())
        .initial_stream_window_size(1024 * 1024)
        .initial_connection_window_size(2 * 1024 * 1024);
    settings
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    open: usize,
    ever: u64,
}

/// The requests of one connection.
#[derive(Debug, Clone, Default)]
struct Requests(Arc<watch::Sender<Count>>);

impl Requests {
    fn begin(&self) -> Open {
        self.0.send_modify(|count| {
            count.open += 1;
            count.ever += 1;
        });
        Open(self.clone())
    }

    /// Returns once none was open for so long.
    async fn quiet(&self, patience: Patience) {
        let mut counts = self.0.subscribe();
        loop {
            // The sender is here: neither wait fails.
            let Ok(ever) = counts
                .wait_for(|count| count.open == 0)
                .await
                .map(|count| count.ever)
            else {
                return;
            };
            let within = if ever == 0 {
                patience.first
            } else {
                patience.next
            };
            let asked = timeout(within, counts.wait_for(|count| count.ever > ever)).await;
            if asked.is_err() {
                return;
            }
        }
    }
}

/// One request, open until dropped.
#[derive(Debug)]
struct Open(Requests);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.0.send_modify(|count| count.open -= 1);
    }
}

/// A service whose requests are counted.
struct Counted<S> {
    inner: S,
    requests: Requests,
}

impl<S> Counted<S> {
    fn new(inner: S, requests: Requests) -> Self {
        Self { inner, requests }
    }
}

impl<S, B> Service<Request<Incoming>> for Counted<S>
where
    S: Service<Request<Incoming>, Response = Response<B>, Future: Send + 'static>,
{
    type Response = Response<Held<B>>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let open = self.requests.begin();
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await?;
            Ok(answer.map(|body| Held { body, _open: open }))
        })
    }
}

/// An answer's body, with its request.
struct Held<B> {
    body: B,
    _open: Open,
}

impl<B: Body + Unpin> Body for Held<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;

    use super::*;
    use crate::proxy::refuse::full;

    const LONG: Duration = Duration::from_secs(10);
    const SHORT: Duration = Duration::from_millis(100);

    #[tokio::test]
    async fn only_a_connection_with_no_open_request_is_quiet() {
        for (what, first, next, asks, quiet) in [
            ("never asked", SHORT, LONG, 0, true),
            ("has time to ask", LONG, SHORT, 0, false),
            ("asked and has its answer", LONG, SHORT, 1, true),
            ("has time to ask again", SHORT, LONG, 1, false),
        ] {
            let requests = Requests::default();
            for _ in 0..asks {
                drop(requests.begin());
            }
            let patience = Patience { first, next };
            let ended = timeout(SHORT * 5, requests.quiet(patience)).await;
            assert_eq!(ended.is_ok(), quiet, "{what}");
        }
        let requests = Requests::default();
        let patience = Patience {
            first: SHORT,
            next: SHORT,
        };
        let (download, other) = (requests.begin(), requests.begin());
        drop(other);
        let quiet = requests.quiet(patience);
        tokio::pin!(quiet);
        assert!(timeout(SHORT * 5, &mut quiet).await.is_err(), "one is open");
        drop(download);
        timeout(LONG, quiet).await.unwrap();
    }

    #[tokio::test]
    async fn a_connection_that_asks_for_nothing_ends_and_a_slow_answer_does_not() {
        let patience = Patience {
            first: SHORT,
            next: SHORT,
        };
        let start = |near| {
            let service = service_fn(|request: Request<Incoming>| async move {
                if request.uri().path() == "/slow" {
                    tokio::time::sleep(SHORT * 8).await;
                }
                Ok(Response::new(full("ok".to_owned())))
            });
            let io = TokioIo::new(near);
            tokio::spawn(serve(io, service, patience, CancellationToken::new()))
        };
        // Not even the preface.
        let (_silent, near) = tokio::io::duplex(4096);
        timeout(LONG, start(near)).await.unwrap().unwrap().unwrap();

        let (far, near) = tokio::io::duplex(4096);
        let ended = start(near);
        let client = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(far));
        let (mut sender, connection) = client.await.unwrap();
        tokio::spawn(connection);
        let slow = Request::get("http://h/slow").body(full(String::new()));
        let answer = sender.send_request(slow.unwrap()).await.unwrap();
        assert_eq!(answer.into_body().collect().await.unwrap().to_bytes(), "ok");
        // Asked to go, the client may be the first to hang up.
        let _ended = timeout(LONG, ended).await.unwrap().unwrap();
    }
}
