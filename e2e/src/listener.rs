//! A plain HTTP/1.1 server for fakes, which can also say nothing, or hang up.

use std::{convert::Infallible, fmt, future::Future, sync::Arc};

use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::{net::TcpListener, task::JoinSet};

const LARGEST_BODY: usize = 4 * 1024 * 1024;

/// The connection ends without an answer.
#[derive(Debug)]
pub(crate) struct HungUp;

impl fmt::Display for HungUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hung up")
    }
}

impl std::error::Error for HungUp {}

/// What a fake answers with.
pub(crate) type Answer = Result<Response<Full<Bytes>>, HungUp>;

/// Serves until the task is aborted; every connection ends with it.
pub(crate) async fn serve<H, F>(listener: TcpListener, handler: H) -> Infallible
where
    H: Fn(Request<Bytes>) -> F + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    let handler = Arc::new(handler);
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            crate::wait::tick().await;
            continue;
        };
        let handler = handler.clone();
        connections.spawn(async move {
            let service = service_fn(move |request: Request<Incoming>| {
                let handler = handler.clone();
                async move {
                    let (head, body) = request.into_parts();
                    let whole = Limited::new(body, LARGEST_BODY).collect().await;
                    let whole = whole.map_err(|_| HungUp)?.to_bytes();
                    handler(Request::from_parts(head, whole)).await
                }
            });
            let io = TokioIo::new(stream);
            // A client that goes away ends what waits for it.
            let _gone = hyper::server::conn::http1::Builder::new()
                .serve_connection(io, service)
                .await;
        });
        while connections.try_join_next().is_some() {}
    }
}

/// JSON with this status.
pub(crate) fn json(status: u16, body: &Value) -> Response<Full<Bytes>> {
    text(status, "application/json; charset=UTF-8", body.to_string())
}

/// Text of this type with this status.
pub(crate) fn text(
    status: u16,
    kind: &'static str,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header(CONTENT_TYPE, kind)
        .body(Full::new(body.into()))
        .unwrap()
}
