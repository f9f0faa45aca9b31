//! An upload's body that can be read to its end by somebody else.
//!
//! A refused upload (a full disk, say) must not be cut in the middle of the
//! sender's writing, or the sender sees a broken connection and never the
//! reason.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::timeout;

/// What a refused sender may still send.
const MOST: u64 = 1024 * 1024 * 1024;
/// And for how long.
const LONGEST: Duration = Duration::from_secs(30);

struct Inner {
    body: Incoming,
    touched: bool,
}

/// A body; clones are the same body.
#[derive(Clone)]
pub(crate) struct SharedBody(Arc<Mutex<Inner>>);

impl SharedBody {
    /// Not yet read.
    pub(crate) fn new(body: Incoming) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            body,
            touched: false,
        })))
    }

    /// Whether something is still to come. One that was never touched is not
    /// counted: its sender may still wait for "100 Continue".
    pub(crate) fn is_unfinished(&self) -> bool {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.touched && !inner.body.is_end_stream()
    }

    /// Reads the rest away, within bounds.
    pub(crate) async fn discard(mut self) {
        timeout(LONGEST, async move {
            let mut read = 0;
            while let Some(Ok(frame)) = self.frame().await {
                read += frame.data_ref().map_or(0, Bytes::len) as u64;
                if read > MOST {
                    return;
                }
            }
        })
        .await
        .ok();
    }
}

impl Body for SharedBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.touched = true;
        Pin::new(&mut inner.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let inner = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        inner.body.size_hint()
    }
}
