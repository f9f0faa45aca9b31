//! The shapes of answers: one body type for both ports, and the JSON error.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};

/// Any answer's body.
pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;
/// Any answer.
pub(crate) type Reply = Response<Body>;

/// A refusal, said in the one shape that clients know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// HTTP status.
    pub(crate) status: StatusCode,
    /// Stable, for programs.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: String,
    /// Seconds; 0 for "do not".
    pub(crate) retry_after: u32,
}

impl Refusal {
    /// One that a retry does not help.
    pub(crate) fn new(
        status: StatusCode,
        reason: &'static str,
        message: impl Into<String>,
    ) -> Self {
        Self {
            status,
            reason,
            message: message.into(),
            retry_after: 0,
        }
    }

    /// 400 with a reason.
    pub(crate) fn bad(reason: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, reason, message)
    }

    /// The same may work after so many seconds.
    pub(crate) fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after = seconds;
        self
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        let mut reply = json(
            refusal.status,
            &serde_json::json!({"error": {
                "reason": refusal.reason,
                "message": refusal.message,
                "fields": [],
                "retry_after_seconds": refusal.retry_after,
            }}),
        );
        if refusal.retry_after > 0 {
            reply
                .headers_mut()
                .insert(header::RETRY_AFTER, refusal.retry_after.into());
        }
        reply
    }
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    let mut reply = bytes(status, value.to_string());
    reply.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    reply
}

/// An answer of a few bytes.
pub(crate) fn bytes(status: StatusCode, content: impl Into<Bytes>) -> Reply {
    let body = Full::new(content.into())
        .map_err(|never| match never {})
        .boxed_unsync();
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    reply
}
