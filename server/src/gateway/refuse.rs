//! What a caller is told when the gateway itself answers: HTTP and JSON, in the
//! agent's own words.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};

/// A no, with what to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal {
    status: StatusCode,
    reason: &'static str,
    message: &'static str,
    retry_after_seconds: u32,
}

const fn no(status: StatusCode, reason: &'static str, message: &'static str) -> Refusal {
    Refusal {
        status,
        reason,
        message,
        retry_after_seconds: 0,
    }
}

const fn not_now(status: StatusCode, reason: &'static str, message: &'static str) -> Refusal {
    Refusal {
        status,
        reason,
        message,
        retry_after_seconds: 1,
    }
}

impl Refusal {
    pub(super) const NOT_FOUND: Self = no(
        StatusCode::NOT_FOUND,
        "NOT_FOUND",
        "there is nothing at this address",
    );
    pub(super) const FOREIGN: Self = no(
        StatusCode::FORBIDDEN,
        "ORIGIN_FOREIGN",
        "pages of this origin may not reach seats",
    );
    pub(super) const BAD_FORM: Self = no(
        StatusCode::BAD_REQUEST,
        "BAD_FORM",
        "a download form has one token and a path, 16 KiB in all",
    );
    pub(super) const TOKEN_MISSING: Self = no(
        StatusCode::UNAUTHORIZED,
        "TOKEN_MISSING",
        "a seat token is needed, in Authorization: Bearer or as a WebSocket subprotocol offer",
    );
    pub(super) const TOKEN_AMBIGUOUS: Self = no(
        StatusCode::UNAUTHORIZED,
        "TOKEN_AMBIGUOUS",
        "exactly one seat token is needed",
    );
    pub(super) const TOKEN_IN_URL: Self = no(
        StatusCode::UNAUTHORIZED,
        "TOKEN_IN_URL",
        "a seat token must never stand in a URL: it ends up in logs",
    );
    pub(super) const TOKEN_INVALID: Self = no(
        StatusCode::UNAUTHORIZED,
        "TOKEN_INVALID",
        "the seat token is not valid here",
    );
    pub(super) const TOKEN_EXPIRED: Self = no(
        StatusCode::UNAUTHORIZED,
        "TOKEN_EXPIRED",
        "the seat token has expired: join again with the reconnect code",
    );
    pub(super) const OTHER_SEAT: Self = no(
        StatusCode::FORBIDDEN,
        "TOKEN_OF_ANOTHER_SEAT",
        "the seat token is for another seat",
    );
    pub(super) const TOKEN_REVOKED: Self = no(
        StatusCode::FORBIDDEN,
        "TOKEN_REVOKED",
        "the seat was reset or taken away since this token was made",
    );
    pub(super) const SEAT_UNKNOWN: Self = no(
        StatusCode::NOT_FOUND,
        "SEAT_UNKNOWN",
        "the workshop has no such seat",
    );
    pub(super) const AWAY: Self = no(
        StatusCode::FORBIDDEN,
        "DESTINATION_AWAY",
        "the Destination is not within this seat's files",
    );
    pub(super) const WEBSOCKET_NEEDED: Self = no(
        StatusCode::UPGRADE_REQUIRED,
        "WEBSOCKET_NEEDED",
        "a terminal is a WebSocket (version 13) over HTTP/1.1",
    );
    pub(super) const NOT_RUNNING: Self = not_now(
        StatusCode::SERVICE_UNAVAILABLE,
        "NOT_RUNNING",
        "the seat's worker is not ready",
    );
    pub(super) const UNREACHED: Self = not_now(
        StatusCode::BAD_GATEWAY,
        "SEAT_UNREACHABLE",
        "the seat's worker did not answer",
    );
    pub(super) const LATE: Self = not_now(
        StatusCode::GATEWAY_TIMEOUT,
        "SEAT_TIMED_OUT",
        "the seat's worker took the request and did not answer in time",
    );
    pub(super) const BROKEN: Self = not_now(
        StatusCode::INTERNAL_SERVER_ERROR,
        "INTERNAL",
        "the control plane could not look the seat up",
    );
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let json = serde_json::json!({"error": {
            "reason": self.reason,
            "message": self.message,
            "fields": [],
            "retry_after_seconds": self.retry_after_seconds,
        }});
        let mut answer = (self.status, json.to_string()).into_response();
        let headers = answer.headers_mut();
        for (name, value) in [
            (header::CONTENT_TYPE, "application/json"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            let bearer = HeaderValue::from_static("Bearer realm=\"clarateach\"");
            headers.insert(header::WWW_AUTHENTICATE, bearer);
        }
        if self.retry_after_seconds > 0 {
            headers.insert(header::RETRY_AFTER, self.retry_after_seconds.into());
        }
        answer
    }
}
