//! Why a call was refused, once for gRPC and JSON.
//!
//! Way: a refusal -> [`ApiError`] -> `Status` with `google.rpc` details, or an
//! HTTP status with the JSON error. Causes go to the log, never to the caller.

use std::{collections::HashMap, time::Duration};

use clarateach_domain::seat_token::BadToken;
use http::StatusCode;
use serde::Serialize;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};
use tracing::error;

use crate::store::{StoreError, limits::Refused, principals::TokenError, sealing::SealError};

/// `domain` of every `google.rpc.ErrorInfo`.
const DOMAIN: &str = "clarateach";

/// One thing that is wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The field, as the schema calls it.
    pub field: String,
    /// What it must be.
    pub description: String,
}

impl Violation {
    /// `field` must be `description`.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            description: description.into(),
        }
    }
}

/// A refusal, with all a caller needs to do better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// The kind, as gRPC has it.
    pub code: Code,
    /// Stable, for programs.
    pub reason: &'static str,
    /// For people: what, and what to do.
    pub message: String,
    /// What is wrong with which field.
    pub fields: Vec<Violation>,
    /// When it is worth trying again.
    pub retry_after: Option<Duration>,
}

impl ApiError {
    /// A refusal of one kind.
    pub fn new(code: Code, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            fields: Vec::new(),
            retry_after: None,
        }
    }

    /// The same, worth trying again after `wait`.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Fields that are not as they must be.
    pub fn fields(fields: Vec<Violation>) -> Self {
        let said: Vec<_> = fields
            .iter()
            .map(|bad| format!("{} {}", bad.field, bad.description))
            .collect();
        let mut error = Self::new(Code::InvalidArgument, "INVALID", said.join("; "));
        error.fields = fields;
        error
    }

    /// One field that is not as it must be.
    pub fn field(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self::fields(vec![Violation::new(field, description)])
    }

    /// No such workshop for this caller: unknown and foreign ones answer alike.
    pub fn no_workshop() -> Self {
        Self::new(
            Code::NotFound,
            "WORKSHOP_UNKNOWN",
            "there is no such workshop",
        )
    }

    /// No such seat in the workshop.
    pub fn no_seat() -> Self {
        Self::new(
            Code::NotFound,
            "SEAT_UNKNOWN",
            "the workshop has no such seat",
        )
    }

    /// Unknown and expired join codes alike.
    pub fn no_code() -> Self {
        Self::new(
            Code::NotFound,
            "CODE_UNKNOWN",
            "this join code opens no workshop: check it, or ask your instructor for the present one",
        )
    }

    /// No token, or none that counts.
    pub fn unauthenticated(message: &'static str) -> Self {
        Self::new(Code::Unauthenticated, "TOKEN_INVALID", message)
    }

    /// An API token that opens nothing, or nothing any more.
    pub fn unknown_token() -> Self {
        Self::unauthenticated("this API token is unknown or was revoked")
    }

    /// As an HTTP status.
    pub fn http_status(&self) -> StatusCode {
        match self.code {
            Code::Ok => StatusCode::OK,
            Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
            Code::Unauthenticated => StatusCode::UNAUTHORIZED,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::AlreadyExists | Code::Aborted | Code::FailedPrecondition => StatusCode::CONFLICT,
            Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
            Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
            Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
            Code::Cancelled | Code::Unknown | Code::Internal | Code::DataLoss => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// As the JSON face says it.
    pub fn json(&self) -> serde_json::Value {
        serde_json::json!({ "error": {
            "reason": self.reason,
            "message": self.message,
            "fields": self.fields,
            "retry_after_seconds": self.retry_after.map_or(0, whole_seconds),
        }})
    }
}

/// Whole seconds, never less than `wait`.
pub fn whole_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0)
}

impl From<ApiError> for Status {
    fn from(error: ApiError) -> Self {
        let mut details = ErrorDetails::with_error_info(error.reason, DOMAIN, HashMap::new());
        if !error.fields.is_empty() {
            let fields = error.fields.iter();
            let fields: Vec<_> = fields
                .map(|bad| FieldViolation::new(&bad.field, &bad.description))
                .collect();
            details.set_bad_request(fields);
        }
        if error.retry_after.is_some() {
            details.set_retry_info(error.retry_after);
        }
        Self::with_error_details(error.code, error.message, details)
    }
}

impl From<StoreError> for ApiError {
    fn from(cause: StoreError) -> Self {
        error!(error = ?cause, "the store failed a call");
        if cause.is_away() {
            let message =
                "the database is out of reach: nothing was changed; try again in a moment";
            return Self::new(Code::Unavailable, "DATABASE_AWAY", message)
                .retry_after(Duration::from_secs(2));
        }
        Self::new(
            Code::Internal,
            "INTERNAL",
            "the server failed; its log says why",
        )
    }
}

impl From<SealError> for ApiError {
    fn from(cause: SealError) -> Self {
        StoreError::from(cause).into()
    }
}

impl From<TokenError> for ApiError {
    fn from(cause: TokenError) -> Self {
        match cause {
            TokenError::OtherRole(role) => Self::field(
                "role",
                format!("must be {role}: the principal is one already"),
            ),
            TokenError::RequestDiffers => Refused::RequestDiffers.into(),
            TokenError::Store(cause) => cause.into(),
        }
    }
}

impl From<BadToken> for ApiError {
    fn from(bad: BadToken) -> Self {
        match bad {
            BadToken::Invalid => Self::unauthenticated("the seat token is not valid here"),
            BadToken::Expired => Self::new(
                Code::Unauthenticated,
                "TOKEN_EXPIRED",
                "the seat token has expired: join again with the reconnect code",
            ),
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        let state = |reason, message: &str| Self::new(Code::FailedPrecondition, reason, message);
        match refused {
            Refused::Unknown => Self::no_workshop(),
            Refused::RequestDiffers => Self::new(
                Code::Aborted,
                "REQUEST_ID_REUSED",
                "this request_id belongs to another call: take a new one",
            ),
            Refused::Deleting => state(
                "WORKSHOP_DELETING",
                "the workshop is being deleted, or is gone; nothing of it can change",
            ),
            Refused::Over => state(
                "WORKSHOP_OVER",
                "the workshop is over; ask your instructor for a new one and its code",
            ),
            Refused::Stopped => state(
                "NOT_RUNNING",
                "the workshop is stopped; seats and files are kept, ask your instructor to start it",
            ),
            Refused::Failed => state(
                "WORKSHOP_FAILED",
                "the workshop could not be made; your instructor can see why",
            ),
            Refused::Full { seats, soon } => {
                let full = Self::new(
                    Code::ResourceExhausted,
                    "SEATS_EXHAUSTED",
                    format!(
                        "all {seats} seats are taken: ask your instructor for more seats; if one \
                         of them was yours, join with your reconnect code"
                    ),
                );
                if soon {
                    full.retry_after(Duration::from_secs(10))
                } else {
                    full
                }
            }
            Refused::ReconnectUnknown => Self::new(
                Code::NotFound,
                "RECONNECT_UNKNOWN",
                "this reconnect code belongs to no seat of this workshop: join without it for a new seat",
            ),
            Refused::StayOver => Self::new(
                Code::NotFound,
                "SEAT_REVOKED",
                "the seat of this join was taken back: join with a new request_id for another",
            ),
            Refused::SeatFree => state("SEAT_FREE", "nobody holds this seat"),
            Refused::SeatsInUse { taken, must_go } => state(
                "SEATS_IN_USE",
                &format!(
                    "{taken} seats have learners and {must_go} of those would have to go: \
                     set evict to let them"
                ),
            ),
            Refused::NoWorkers { most } => Self::new(
                Code::ResourceExhausted,
                "WORKERS_EXHAUSTED",
                format!(
                    "this server runs at most {most} workers at once: delete a workshop or ask for fewer seats"
                ),
            ),
            Refused::OwnerQuota { most } => Self::new(
                Code::ResourceExhausted,
                "SEAT_QUOTA",
                format!("one owner may have at most {most} seats at once"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_the_same_over_grpc_and_json() {
        let error = ApiError::fields(vec![
            Violation::new("name", "must not be empty"),
            Violation::new("seats", "must be 1 to 500"),
        ]);
        let json = error.json();
        assert_eq!(json["error"]["fields"][1]["field"], "seats");
        let status = Status::from(error);
        let details = status.get_error_details();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(details.error_info().unwrap().reason, "INVALID");
        assert_eq!(details.bad_request().unwrap().field_violations.len(), 2);
    }

    #[test]
    fn a_full_workshop_says_when_to_come_back_only_if_a_seat_becomes_free() {
        for (soon, seconds) in [(false, 0), (true, 10)] {
            let error = ApiError::from(Refused::Full { seats: 2, soon });
            assert_eq!(error.json()["error"]["retry_after_seconds"], seconds);
            let status = Status::from(error);
            let retry = status.get_error_details();
            assert_eq!(retry.retry_info().is_some(), soon);
        }
    }
}
