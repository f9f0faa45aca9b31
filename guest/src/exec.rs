//! `POST /exec`: one command as the learner, its output streamed as
//! newline-delimited JSON.
//!
//! Way: request -> `order` (parsed, whole or refused) -> `run` (process and
//! its guard) -> `stream` -> answer. When the caller goes away the answer's
//! body is dropped, and with it the whole process group.

mod order;
mod run;

use std::{sync::Arc, time::Duration};

use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use tokio::{
    sync::{Semaphore, mpsc},
    time::timeout,
};

use self::order::Order;
use crate::{
    reaper::Reaper,
    reply::{Refusal, Reply},
    seat::{Identity, Seat},
};

/// Commands of a seat at once.
const MAX_AT_ONCE: usize = 16;
/// A command with its input, base64 and all.
const MAX_REQUEST: usize = 8 * 1024 * 1024;
/// A caller must have said all of it by then.
const REQUEST_TIME: Duration = Duration::from_secs(30);
/// Lines ahead of a slow caller; then the command waits.
const AHEAD: usize = 4;

/// Cheap handle.
#[derive(Clone)]
pub(crate) struct Exec {
    seat: Seat,
    reaper: Reaper,
    places: Arc<Semaphore>,
}

impl Exec {
    /// Nothing runs yet.
    pub(crate) fn new(seat: Seat, reaper: Reaper) -> Self {
        Self {
            seat,
            reaper,
            places: Arc::new(Semaphore::new(MAX_AT_ONCE)),
        }
    }

    /// Starts a command; the answer streams what it says.
    pub(crate) async fn run(
        &self,
        identity: &Identity,
        request: Request<Incoming>,
    ) -> Result<Reply, Refusal> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| {
            Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                "TOO_MANY_COMMANDS",
                format!("a seat runs at most {MAX_AT_ONCE} commands at once"),
            )
            .retry_after(1)
        })?;
        let body = timeout(
            REQUEST_TIME,
            Limited::new(request.into_body(), MAX_REQUEST).collect(),
        )
        .await
        .map_err(|_| {
            Refusal::new(
                StatusCode::REQUEST_TIMEOUT,
                "TOO_SLOW",
                "the request did not end",
            )
        })?
        .map_err(|_| {
            Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "TOO_LARGE",
                "a command and its input have at most 8 MiB; put more into a file",
            )
        })?
        .to_bytes();
        let order = Order::parse(&body, self.seat.config())?;
        let (lines, answer) = mpsc::channel(AHEAD);
        let run = run::Run::start(&self.seat, identity, &self.reaper, order)?;
        tokio::spawn(async move {
            run.stream(lines).await;
            drop(place);
        });
        let stream = tokio_stream(answer);
        let mut reply = Reply::new(StreamBody::new(stream).boxed_unsync());
        reply.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-ndjson"),
        );
        Ok(reply)
    }
}

fn tokio_stream(
    mut lines: mpsc::Receiver<bytes::Bytes>,
) -> impl futures_util::Stream<Item = std::io::Result<Frame<bytes::Bytes>>> + Send {
    futures_util::stream::poll_fn(move |context| {
        lines
            .poll_recv(context)
            .map(|line| line.map(|line| Ok(Frame::data(line))))
    })
}
