//! How long an agent may take for the head of its answer.
//!
//! The clock begins anew with every piece of the request that passes, and stands
//! while the next one is the learner's to send: an upload may take as long as it
//! takes, an agent that is silent may not. Way: body -> [`Watched`] notes what it
//! waits for -> [`Patience::ends`].

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::{Body, Bytes};
use http_body::{Frame, SizeHint};
use tokio::time::{Instant, sleep, sleep_until};

/// Since when the agent is waited for; `None` while the learner is.
#[derive(Clone)]
struct Clock(Arc<Mutex<Option<Instant>>>);

impl Clock {
    fn set(&self, since: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = since;
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The patience with one answer.
pub(super) struct Patience {
    clock: Clock,
    within: Duration,
}

impl Patience {
    /// Begins now, with a request of this body.
    pub(super) fn with(body: Body, within: Duration) -> (Body, Self) {
        let clock = Clock(Arc::new(Mutex::new(Some(Instant::now()))));
        let watched = Watched {
            body,
            clock: clock.clone(),
        };
        (Body::new(watched), Self { clock, within })
    }

    /// Returns when the agent was waited for that long without a pause.
    pub(super) async fn ends(self) {
        loop {
            match self.clock.since().map(|since| since + self.within) {
                // Whatever begins meanwhile ends later than this.
                None => sleep(self.within).await,
                Some(end) if end <= Instant::now() => return,
                Some(end) => sleep_until(end).await,
            }
        }
    }
}

/// A request's body that notes whether it waits for the learner.
struct Watched {
    body: Body,
    clock: Clock,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        self.clock.set(polled.is_ready().then(Instant::now));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Sent, or not wanted any more: the rest is the agent's.
        self.clock.set(Some(Instant::now()));
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;
    use tokio::{sync::mpsc, time::timeout};
    use tokio_stream::wrappers::ReceiverStream;

    use super::*;

    const WITHIN: Duration = Duration::from_millis(200);
    /// Ten seconds for what takes a fifth of one.
    const BOUND: Duration = Duration::from_secs(10);

    fn upload() -> (mpsc::Sender<std::io::Result<Bytes>>, Body) {
        let (learner, pieces) = mpsc::channel(1);
        (learner, Body::from_stream(ReceiverStream::new(pieces)))
    }

    #[tokio::test]
    async fn an_agent_that_says_nothing_is_not_waited_for_for_ever() {
        let (_body, patience) = Patience::with(Body::empty(), WITHIN);
        timeout(BOUND, patience.ends()).await.unwrap();

        // Nor one that stops to take the request.
        let (learner, body) = upload();
        let (mut body, patience) = Patience::with(body, WITHIN);
        learner.send(Ok(Bytes::from_static(b"x"))).await.unwrap();
        body.frame().await.unwrap().unwrap();
        timeout(BOUND, patience.ends()).await.unwrap();
    }

    #[tokio::test]
    async fn a_learner_may_take_any_time_over_an_upload() {
        let (learner, body) = upload();
        let (mut body, patience) = Patience::with(body, WITHIN);
        let ends = patience.ends();
        tokio::pin!(ends);
        for _ in 0..3 {
            assert!(body.frame().now_or_never().is_none(), "the learner's turn");
            assert!(timeout(WITHIN * 3, &mut ends).await.is_err(), "cut");
            learner.send(Ok(Bytes::from_static(b"x"))).await.unwrap();
            body.frame().await.unwrap().unwrap();
        }
        drop(learner);
        assert!(body.frame().await.is_none());
        timeout(BOUND, ends).await.unwrap();
    }
}
