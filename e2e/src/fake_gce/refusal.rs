//! How Google says no: a status, and a body whose `errors[0].reason` is the only
//! part that a client may decide by.

use serde_json::{Value, json};

/// A request that was refused and had no effect.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// Only Google's front end, which parses bodies, adds this member.
    status: Option<&'static str>,
}

impl Refusal {
    pub(crate) fn new(code: u16, reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            reason,
            message: message.into(),
            status: None,
        }
    }

    /// The body is no request at all: unknown names, wrong types.
    pub(crate) fn payload(field: &str, why: &str) -> Self {
        let message = format!("Invalid JSON payload received. {why} at '{field}'.");
        Self {
            status: Some("INVALID_ARGUMENT"),
            ..Self::new(400, "invalid", message)
        }
    }

    /// A request that Compute itself refuses for this field.
    pub(crate) fn field(field: &str, value: impl std::fmt::Display, why: &str) -> Self {
        let message = format!("Invalid value for field '{field}': '{value}'. {why}");
        Self::new(400, "invalid", message)
    }

    pub(crate) fn required(field: &str) -> Self {
        Self::new(
            400,
            "required",
            format!("Required field '{field}' not specified"),
        )
    }

    pub(crate) fn not_found(path: &str) -> Self {
        Self::new(
            404,
            "notFound",
            format!("The resource '{path}' was not found"),
        )
    }

    pub(crate) fn exists(path: &str) -> Self {
        let message = format!("The resource '{path}' already exists");
        Self::new(409, "alreadyExists", message)
    }

    pub(crate) fn not_ready(path: &str) -> Self {
        let message = format!("The resource '{path}' is not ready");
        Self::new(400, "resourceNotReady", message)
    }

    pub(crate) fn in_use(path: &str, by: &str) -> Self {
        let message = format!("The {path} resource is already being used by '{by}'");
        Self::new(400, "resourceInUseByAnotherResource", message)
    }

    pub(crate) fn fingerprint(what: &str) -> Self {
        let message = format!("{what} fingerprint either invalid or resource changed");
        Self::new(412, "conditionNotMet", message)
    }

    /// The body on the wire.
    pub(crate) fn body(&self) -> Value {
        let mut error = json!({
            "code": self.code,
            "message": self.message,
            "errors": [{"message": self.message, "domain": "global", "reason": self.reason}],
        });
        if let Some(status) = self.status {
            error["status"] = json!(status);
        }
        json!({ "error": error })
    }
}
