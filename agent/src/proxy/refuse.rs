//! What a caller is told when the agent itself answers: HTTP and JSON.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Full, combinators::UnsyncBoxBody};

/// Any failure while a body is on its way.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// The body of every answer and of every request to a guest.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

/// A body of these bytes.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(Into::into).boxed_unsync()
}

/// No body.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(Into::into).boxed_unsync()
}

/// A no, with what to do about it. Says nothing its reader may not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The HTTP status.
    pub(crate) status: StatusCode,
    /// Stable, for programs.
    pub(crate) reason: &'static str,
    /// For people.
    pub(crate) message: &'static str,
    /// When asking again may help; 0 for never.
    pub(crate) retry_after_seconds: u32,
}

impl Refusal {
    /// A refusal that asking again does not change.
    pub(crate) const fn new(
        status: StatusCode,
        reason: &'static str,
        message: &'static str,
    ) -> Self {
        Self {
            status,
            reason,
            message,
            retry_after_seconds: 0,
        }
    }

    /// A refusal for now.
    pub(crate) const fn for_now(reason: &'static str, message: &'static str) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            reason,
            message,
            retry_after_seconds: 1,
        }
    }

    /// Nothing is here.
    pub(crate) const NOT_FOUND: Self = Self::new(
        StatusCode::NOT_FOUND,
        "NOT_FOUND",
        "there is nothing at this address",
    );

    /// As an answer.
    pub(crate) fn answer(self) -> Response<Body> {
        let json = serde_json::json!({"error": {
            "reason": self.reason,
            "message": self.message,
            "fields": [],
            "retry_after_seconds": self.retry_after_seconds,
        }});
        let mut answer = Response::new(full(json.to_string()));
        *answer.status_mut() = self.status;
        let headers = answer.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(
                header::WWW_AUTHENTICATE,
                HeaderValue::from_static("Bearer realm=\"clarateach\""),
            );
        }
        if self.retry_after_seconds > 0 {
            headers.insert(header::RETRY_AFTER, self.retry_after_seconds.into());
        }
        answer
    }
}
