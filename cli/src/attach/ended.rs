//! What the end of one connection means for the next one.

use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use crate::{
    failure::{Exit, Failure},
    output::plain,
};

/// Why a connection is over.
pub(super) enum Ended {
    /// By the learner.
    Left,
    /// By a signal of this number.
    Told(u8),
    /// With the shell, by its code.
    Exited(u8),
    /// For good.
    Refused(Failure),
    /// For a reason that may pass.
    Lost(String),
}

/// Close codes of `decisions` §4. A token that is over is renewed before every new try.
pub(super) fn closed(frame: Option<CloseFrame>) -> Ended {
    let (code, reason) = frame.map_or((1005, String::new()), |frame| {
        (u16::from(frame.code), plain(&frame.reason))
    });
    let refused = |exit, act: &str| {
        let failure = Failure::new(exit, act);
        Ended::Refused(if reason.is_empty() {
            failure
        } else {
            failure.because(reason.clone())
        })
    };
    match code {
        4404 => refused(Exit::NotFound, "there is no such seat any more"),
        4410 => refused(Exit::NotFound, "the workshop is over"),
        _ => Ended::Lost(format!("closed with {code} {reason}")),
    }
}
