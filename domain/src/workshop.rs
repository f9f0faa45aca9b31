//! A workshop as it is wanted and where it and its parts are in their lives.
//!
//! Way: schema and rows -> these words -> `plan` -> rows and schema. Each word
//! has one spelling, the same in JSON, in the database and in logs.

use serde::{Deserialize, Serialize};

use crate::plan::SeatWish;

/// A word that is none of those it could be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no {what}")]
pub struct BadWord {
    what: &'static str,
    text: String,
}

/// Gives an enum one spelling: `as_str`, `Display` and `FromStr`.
macro_rules! words {
    ($type:ident, $what:literal, { $($variant:ident = $word:literal),* $(,)? }) => {
        impl $type {
            /// As it is spelled everywhere.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),*
                }
            }
        }
        impl std::fmt::Display for $type {
            fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                out.write_str(self.as_str())
            }
        }
        impl std::str::FromStr for $type {
            type Err = BadWord;
            fn from_str(text: &str) -> Result<Self, BadWord> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    other => Err(BadWord {
                        what: $what,
                        text: other.chars().take(64).collect(),
                    }),
                }
            }
        }
    };
}

/// What the owner wants of a workshop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Desired {
    /// Running.
    Present,
    /// Stopped, with everything kept.
    Stopped,
    /// Gone.
    Absent,
}

words!(Desired, "wish", { Present = "present", Stopped = "stopped", Absent = "absent" });

/// Where a workshop is in its life, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Workers or seats are still being made.
    Provisioning,
    /// Every seat answers.
    Running,
    /// Some seats are down, or the worker is being recovered.
    Degraded,
    /// Being stopped.
    Stopping,
    /// Stopped.
    Stopped,
    /// Being removed.
    Deleting,
    /// Gone.
    Deleted,
    /// It could not be made.
    Failed,
}

words!(Phase, "phase", {
    Provisioning = "provisioning",
    Running = "running",
    Degraded = "degraded",
    Stopping = "stopping",
    Stopped = "stopped",
    Deleting = "deleting",
    Deleted = "deleted",
    Failed = "failed",
});

/// Where a seat's machine is in its life, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeatState {
    /// No machine yet: the worker is being made, or the seat is in the queue.
    Waiting,
    /// Its machine is starting.
    Booting,
    /// Terminal and files answer.
    Ready,
    /// Its machine died and is being started again.
    Restarting,
    /// Its machine could not be started.
    Failed,
    /// Its machine is being removed, or replaced by a fresh one.
    Removing,
    /// The workshop is stopped.
    Stopped,
}

words!(SeatState, "seat state", {
    Waiting = "waiting",
    Booting = "booting",
    Ready = "ready",
    Restarting = "restarting",
    Failed = "failed",
    Removing = "removing",
    Stopped = "stopped",
});

/// Where a worker is in its life, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WorkerState {
    /// Wanted, not there yet.
    Creating,
    /// There, its agent does not answer yet.
    Booting,
    /// Its agent answers.
    Ready,
    /// Its agent answered once and does not now.
    Unreachable,
    /// Stopped; its disk is kept.
    Stopped,
    /// Being removed.
    Deleting,
    /// Gone.
    Deleted,
}

words!(WorkerState, "worker state", {
    Creating = "creating",
    Booting = "booting",
    Ready = "ready",
    Unreachable = "unreachable",
    Stopped = "stopped",
    Deleting = "deleting",
    Deleted = "deleted",
});

words!(SeatWish, "seat wish", { Kept = "kept", Revoked = "revoked", Removed = "removed" });

/// What a principal may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Their own workshops.
    Instructor,
}

words!(Role, "role", { Admin = "admin", Instructor = "instructor" });

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_reads_back_as_itself() {
        for phase in [Phase::Provisioning, Phase::Failed] {
            assert_eq!(phase.as_str().parse(), Ok(phase));
        }
        assert_eq!("absent".parse(), Ok(Desired::Absent));
        assert_eq!("revoked".parse(), Ok(SeatWish::Revoked));
        assert_eq!("unreachable".parse(), Ok(WorkerState::Unreachable));
        assert!("Running".parse::<Phase>().is_err());
        assert!("".parse::<SeatState>().is_err());
    }
}
