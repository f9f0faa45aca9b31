//! Bodies of calls, whole before a call takes one of the few turns.
//!
//! Way: request -> a place for its sender -> all of its body within [`BODY`] ->
//! the same request with the bytes. Without this a few hundred bodies that
//! trickle in, from a sender with no token, would hold every turn there is.

use std::{net::IpAddr, sync::Arc, time::Duration};

use axum::{
    body::Body,
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::{
    sync::Semaphore,
    time::{Instant, timeout_at},
};
use tonic::{Code, Status};

use super::addresses::Addresses;
use crate::api::{Visit, error::ApiError};

/// A body must be here within this.
pub(super) const BODY: Duration = Duration::from_secs(15);
/// Bodies under way of one address, and of all.
const EACH: usize = 2048;
const ALL: usize = 8192;
/// What is longer waits for one of [`LONG`] turns, so that bodies that never
/// end cost at most `ALL * SHORT + LONG * MAX` bytes.
const SHORT: usize = 16 * 1024;
const LONG: usize = 32;
/// The longest message, its frame, and base64 of grpc-web.
const MAX: usize = 6 * 1024 * 1024;

/// What bodies under way hold.
#[derive(Debug, Clone)]
pub(super) struct Gather {
    places: Addresses,
    long: Arc<Semaphore>,
    within: Duration,
}

impl Gather {
    /// Bodies must be whole `within` so long.
    pub(super) fn new(within: Duration) -> Self {
        Self {
            places: Addresses::new(EACH, ALL),
            long: Arc::new(Semaphore::new(LONG)),
            within,
        }
    }

    async fn whole(&self, mut body: Body) -> Result<Bytes, ApiError> {
        let end = Instant::now() + self.within;
        let mut bytes = BytesMut::new();
        let mut turn = None;
        while let Some(frame) = timeout_at(end, body.frame()).await.map_err(|_| slow())? {
            let Ok(data) = frame.map_err(|_| broken())?.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > MAX {
                return Err(long());
            }
            if bytes.len() + data.len() > SHORT && turn.is_none() {
                let waited = timeout_at(end, self.long.clone().acquire_owned()).await;
                turn = waited.map_err(|_| busy())?.ok();
            }
            bytes.extend_from_slice(&data);
        }
        Ok(bytes.freeze())
    }
}

fn slow() -> ApiError {
    let message = "the request's body did not arrive in time";
    ApiError::new(Code::DeadlineExceeded, "BODY_SLOW", message)
}

fn broken() -> ApiError {
    let message = "the request's body broke off";
    ApiError::new(Code::InvalidArgument, "BODY_BROKEN", message)
}

fn long() -> ApiError {
    let message = "the request's body is too long";
    ApiError::new(Code::InvalidArgument, "BODY_LONG", message)
}

fn busy() -> ApiError {
    let message = "too many requests are arriving: try again in a moment";
    ApiError::new(Code::ResourceExhausted, "BUSY", message).retry_after(Duration::from_secs(2))
}

/// Hands on a request once its body is whole.
pub(super) async fn gather(State(gather): State<Gather>, request: Request, next: Next) -> Response {
    // Reflection talks both ways on one body, and answers before it reads.
    if request.body().is_end_stream() || request.uri().path().starts_with("/grpc.reflection.") {
        return next.run(request).await;
    }
    let kind = request.headers().get(http::header::CONTENT_TYPE);
    let grpc = kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    let visit = request.extensions().get::<Visit>();
    let from = visit.map_or(IpAddr::from([127, 0, 0, 1]), |visit| visit.address);
    let (head, body) = request.into_parts();
    let whole = match gather.places.enter(from) {
        Some(_place) => gather.whole(body).await,
        None => Err(busy()),
    };
    match whole {
        Ok(bytes) => next.run(Request::from_parts(head, bytes.into())).await,
        Err(refused) if grpc => Status::from(refused).into_http::<Body>(),
        Err(refused) => refused.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use axum::{Router, middleware::from_fn_with_state, routing::post};
    use futures_util::{StreamExt, stream};
    use http::StatusCode;
    use tower::{ServiceExt, limit::GlobalConcurrencyLimitLayer};

    use super::*;

    fn door(within: Duration) -> Router {
        Router::new()
            .route("/", post(|body: Bytes| async move { body }))
            .layer(GlobalConcurrencyLimitLayer::new(1))
            .layer(from_fn_with_state(Gather::new(within), gather))
    }

    fn trickle() -> Body {
        let first = stream::iter([Ok::<_, std::io::Error>("{")]);
        Body::from_stream(first.chain(stream::pending()))
    }

    fn ask(body: impl Into<Body>) -> Request {
        Request::post("/").body(body.into()).unwrap()
    }

    #[tokio::test]
    async fn a_body_that_trickles_takes_nobodys_turn() {
        let door = door(Duration::from_hours(1));
        let slow: Vec<_> = (0..8)
            .map(|_| tokio::spawn(door.clone().oneshot(ask(trickle()))))
            .collect();
        tokio::task::yield_now().await;
        let body = "x".repeat(2 * SHORT);
        let answer = door.oneshot(ask(body.clone())).await.unwrap();
        let answer = answer.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(answer, body);
        for slow in slow {
            slow.abort();
        }
    }

    #[tokio::test]
    async fn a_body_has_an_end_in_time_and_length() {
        let door = door(Duration::from_millis(20));
        for (body, want) in [
            (trickle(), StatusCode::GATEWAY_TIMEOUT),
            (vec![0; MAX + 1].into(), StatusCode::BAD_REQUEST),
        ] {
            let answer = door.clone().oneshot(ask(body)).await.unwrap();
            assert_eq!(answer.status(), want);
        }
    }
}
