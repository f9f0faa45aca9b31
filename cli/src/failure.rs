//! What went wrong, how people are told, and the exit code that scripts see.
//!
//! Way: an error of a library or the server's answer -> [`Failure`] -> stderr
//! and an exit code (`design`: gh's and ssh's habits).

use std::{error::Error, fmt::Write as _, process::ExitCode};

use tonic::{Code, Status};

/// The exit codes of `clarateach --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Fault = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Conflict = 5,
    Unreachable = 6,
    TimedOut = 7,
    WorkshopFailed = 8,
    Interrupted = 130,
    Terminated = 143,
}

/// The act that failed, why, and what to try.
#[derive(Debug, thiserror::Error)]
#[error("{act}")]
pub(crate) struct Failure {
    act: String,
    exit: u8,
    hint: Option<String>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    pub(crate) fn new(exit: Exit, act: impl Into<String>) -> Self {
        Self {
            act: act.into(),
            exit: exit as u8,
            hint: None,
            source: None,
        }
    }

    /// Something of ours or of this machine.
    pub(crate) fn fault(
        act: impl Into<String>,
        source: impl Into<Box<dyn Error + Send + Sync>>,
    ) -> Self {
        Self::new(Exit::Fault, act).because(source)
    }

    /// A file of this machine.
    pub(crate) fn io(act: impl Into<String>, error: std::io::Error) -> Self {
        let full = matches!(
            error.kind(),
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
        );
        let exit = match error.kind() {
            std::io::ErrorKind::NotFound => Exit::NotFound,
            _ => Exit::Fault,
        };
        let failure = Self::new(exit, act).because(error);
        if full {
            return failure.hint("This machine's disk is full: make room and do it again.");
        }
        failure
    }

    /// The server answered no, or did not answer.
    pub(crate) fn status(act: impl Into<String>, status: &Status) -> Self {
        let exit = match status.code() {
            Code::NotFound => Exit::NotFound,
            Code::Unauthenticated | Code::PermissionDenied => Exit::Refused,
            Code::AlreadyExists
            | Code::Aborted
            | Code::FailedPrecondition
            | Code::ResourceExhausted => Exit::Conflict,
            Code::Unavailable => Exit::Unreachable,
            Code::DeadlineExceeded => Exit::TimedOut,
            Code::InvalidArgument | Code::OutOfRange => Exit::Usage,
            _ => Exit::Fault,
        };
        let mut why = status.message().to_owned();
        // tonic hides the cause of a broken connection behind "transport error".
        let mut cause = status.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if text != "transport error" && !why.contains(&text) {
                let _ = write!(why, ": {text}");
            }
            cause = error.source();
        }
        let failure = Self::new(exit, act);
        let certificate = why.contains("invalid peer certificate");
        let failure = failure.because(why);
        match exit {
            _ if certificate => failure.hint(
                "If the certificate is of your own making, name its file with --ca; \
                 clarateach doctor says more.",
            ),
            Exit::Unreachable => failure.hint("See clarateach doctor."),
            Exit::Refused if status.code() == Code::Unauthenticated => {
                failure.hint("Sign in with clarateach login, or name another --token-file.")
            }
            _ => failure,
        }
    }

    #[must_use]
    pub(crate) fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn with_exit(mut self, code: u8) -> Self {
        self.exit = code;
        self
    }

    /// What a script sees.
    pub(crate) fn exit(&self) -> u8 {
        self.exit
    }

    /// Somebody ended us.
    pub(crate) fn is_interruption(&self) -> bool {
        self.exit == Exit::Interrupted as u8 || self.exit == Exit::Terminated as u8
    }

    /// The other end knows us not, or not any more.
    pub(crate) fn is_refusal(&self) -> bool {
        self.exit == Exit::Refused as u8
    }

    /// Trying again would change nothing.
    pub(crate) fn is_final(&self) -> bool {
        ![Exit::Unreachable, Exit::TimedOut, Exit::Fault]
            .iter()
            .any(|passing| self.exit == *passing as u8)
    }

    /// What to try, if we know.
    pub(crate) fn what_to_try(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// The act and why it failed, in one line.
    pub(crate) fn line(&self) -> String {
        let mut text = self.act.clone();
        let mut cause = self.source();
        while let Some(error) = cause {
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        text
    }

    fn text(&self) -> String {
        let mut text = format!("clarateach: {}", self.line());
        if let Some(hint) = &self.hint {
            let _ = write!(text, "\n  {hint}");
        }
        text
    }
}

/// Says it on stderr. A reader that went away (`| head`) is no failure.
pub(crate) fn report(failure: &Failure) -> ExitCode {
    let mut cause = failure.source();
    while let Some(error) = cause {
        if let Some(io) = error.downcast_ref::<std::io::Error>()
            && io.kind() == std::io::ErrorKind::BrokenPipe
        {
            return ExitCode::SUCCESS;
        }
        cause = error.source();
    }
    crate::output::tell(&failure.text());
    ExitCode::from(failure.exit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_can_tell_failures_apart() {
        for (code, exit) in [
            (Code::NotFound, Exit::NotFound),
            (Code::Unauthenticated, Exit::Refused),
            (Code::PermissionDenied, Exit::Refused),
            (Code::Aborted, Exit::Conflict),
            (Code::ResourceExhausted, Exit::Conflict),
            (Code::FailedPrecondition, Exit::Conflict),
            (Code::Unavailable, Exit::Unreachable),
            (Code::DeadlineExceeded, Exit::TimedOut),
            (Code::InvalidArgument, Exit::Usage),
            (Code::Internal, Exit::Fault),
        ] {
            let failure = Failure::status("could not", &Status::new(code, "why"));
            assert_eq!(failure.exit, exit as u8, "{code:?}");
        }
    }

    #[test]
    fn the_text_says_act_cause_and_what_to_try() {
        let failure =
            Failure::fault("could not read x", std::io::Error::other("no disk")).hint("buy a disk");
        assert_eq!(
            failure.text(),
            "clarateach: could not read x: no disk\n  buy a disk"
        );
    }
}
