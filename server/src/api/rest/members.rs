//! A JSON object, whose members are taken by name: what is left over is a fault, and all
//! faults are told at once.

use axum::{body::Bytes, extract::rejection::BytesRejection};
use http::StatusCode;
use serde_json::{Map, Value};

use super::super::error::{ApiError, Violation};

const MAX_DEPTH: usize = 3;

/// What came, or why it did not.
pub(super) type Body = Result<Bytes, BytesRejection>;

/// The members of a JSON object, taken by name; what is left over is a fault.
pub(super) struct Members {
    pub(super) left: Map<String, Value>,
    faults: Vec<Violation>,
}

/// A body, which must be an object that is not nested deeply.
pub(super) fn members(body: Body) -> Result<Members, ApiError> {
    let body = body.map_err(|refused| match refused.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::field("body", "must have at most 1 MiB"),
        _ => ApiError::field("body", "could not be read"),
    })?;
    let value = serde_json::from_slice(&body);
    match value {
        Ok(Value::Object(left)) if left.values().all(|value| shallow(value, MAX_DEPTH)) => {
            Ok(Members {
                left,
                faults: Vec::new(),
            })
        }
        Ok(_) | Err(_) => Err(ApiError::field("body", "must be a JSON object")),
    }
}

fn shallow(value: &Value, depth: usize) -> bool {
    match value {
        Value::Object(map) => depth > 0 && map.values().all(|value| shallow(value, depth - 1)),
        Value::Array(list) => depth > 0 && list.iter().all(|value| shallow(value, depth - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    }
}

impl Members {
    pub(super) fn take(&mut self, name: &str) -> Option<Value> {
        self.left.remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn fault(&mut self, name: &str, must: &str) {
        self.faults.push(Violation::new(name, must));
    }

    /// Whether it is there; `null` is not.
    pub(super) fn said(&self, name: &str) -> bool {
        self.left.get(name).is_some_and(|value| !value.is_null())
    }

    pub(super) fn truth(&mut self, name: &str) -> bool {
        match self.take(name) {
            None => false,
            Some(Value::Bool(truth)) => truth,
            Some(_) => {
                self.fault(name, "must be true or false");
                false
            }
        }
    }

    pub(super) fn text(&mut self, name: &str) -> String {
        match self.take(name) {
            None => String::new(),
            Some(Value::String(text)) => text,
            Some(_) => {
                self.fault(name, "must be a string");
                String::new()
            }
        }
    }

    pub(super) fn number(&mut self, name: &str) -> u32 {
        let Some(value) = self.take(name) else {
            return 0;
        };
        let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
        number.unwrap_or_else(|| {
            self.fault(name, "must be a whole number, not negative");
            0
        })
    }

    pub(super) fn object(&mut self, name: &str) -> Option<Members> {
        if let Value::Object(left) = self.take(name)? {
            return Some(Members {
                left,
                faults: Vec::new(),
            });
        }
        self.fault(name, "must be an object");
        None
    }

    /// Adds the faults of a member that is an object itself.
    pub(super) fn absorb(&mut self, name: &str, inner: Members) {
        for fault in inner.rest() {
            let field = format!("{name}.{}", fault.field);
            self.faults.push(Violation::new(field, fault.description));
        }
    }

    fn rest(mut self) -> Vec<Violation> {
        for name in self.left.keys().take(10) {
            let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
            self.faults.push(Violation::new(name, "is not known here"));
        }
        self.faults
    }

    pub(super) fn end(self) -> Result<(), ApiError> {
        let faults = self.rest();
        if faults.is_empty() {
            Ok(())
        } else {
            Err(ApiError::fields(faults))
        }
    }
}
