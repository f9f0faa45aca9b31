//! What a refusal of a seat's files means.

use http::StatusCode;
use serde::Deserialize;

use crate::{
    failure::{Exit, Failure},
    output::plain,
};

/// What a refusal means for people and scripts. Pure.
pub(super) fn refusal(act: String, status: StatusCode, said: &[u8]) -> Failure {
    #[derive(Deserialize)]
    struct Said {
        error: Inner,
    }
    #[derive(Deserialize)]
    struct Inner {
        reason: String,
        message: String,
    }
    let said = serde_json::from_slice::<Said>(said).map(|said| said.error);
    let unknown = said
        .as_ref()
        .is_ok_and(|said| said.reason == "SEAT_UNKNOWN");
    let why = said.map_or_else(|_| status.to_string(), |said| plain(&said.message));
    let (exit, hint) = match status.as_u16() {
        // A worker that was made anew hears of its seats a moment later.
        404 if unknown => (
            Exit::Unreachable,
            Some("Its machine may be restarting: try again."),
        ),
        404 => (Exit::NotFound, Some("See clarateach files ls.")),
        401 | 403 => (Exit::Refused, None),
        405 | 409 | 412 | 423 => (
            Exit::Conflict,
            Some("A file may be where a folder should be, or its folder be missing."),
        ),
        507 => (
            Exit::Conflict,
            Some(
                "The seat's disk is full: remove something there. What was there before is whole.",
            ),
        ),
        502..=504 => (
            Exit::Unreachable,
            Some("Its machine may be restarting: try again."),
        ),
        _ => (Exit::Fault, None),
    };
    let failure = Failure::new(exit, act).because(why);
    match hint {
        Some(hint) => failure.hint(hint),
        None => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_the_worker_said() {
        let json = br#"{"error":{"reason":"FULL","message":"no room"}}"#;
        for (status, exit, said) in [
            (404, Exit::NotFound, "could not: no room"),
            (403, Exit::Refused, "could not: no room"),
            (409, Exit::Conflict, "could not: no room"),
            (507, Exit::Conflict, "could not: no room"),
            (503, Exit::Unreachable, "could not: no room"),
            (500, Exit::Fault, "could not: no room"),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let failure = refusal("could not".into(), status, json);
            assert_eq!(failure.exit(), exit as u8, "{status}");
            assert_eq!(failure.line(), said, "{status}");
        }
        let unknown = br#"{"error":{"reason":"SEAT_UNKNOWN","message":"not here"}}"#;
        let failure = refusal("could not".into(), StatusCode::NOT_FOUND, unknown);
        assert_eq!(failure.exit(), Exit::Unreachable as u8);
        let failure = refusal("could not".into(), StatusCode::NOT_FOUND, b"<html>");
        assert_eq!(failure.line(), "could not: 404 Not Found");
    }
}
