//! One seat's machine: as it should be, as it is, and the moves between its
//! states.
//!
//! ```text
//! Queued ─► Booting ─► Ready ─► Restarting ─► Booting …
//!              └────────┴──────────┴─► Failed      (any) ─► Stopping ─► gone
//! ```

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{
    ids::{SeatNo, Slot},
    limits::Asked,
};

/// What a seat's machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Virtual CPUs, 1 to 8.
    pub vcpus: u32,
    /// Memory in MiB, 128 to 16384.
    pub memory_mib: u32,
    /// Writable disk in MiB, 64 to 65536.
    pub disk_mib: u32,
}

impl Resources {
    /// Enough for a Python class: 50 fit on an n2-standard-8.
    pub const DEFAULT: Self = Self {
        vcpus: 1,
        memory_mib: 512,
        disk_mib: 2048,
    };

    /// Fills zeros from `default` and checks the ranges. The error names the
    /// field, as it is called in the schema, and what it may be.
    pub fn checked(self, default: Self) -> Result<Self, (&'static str, &'static str)> {
        let or = |value: u32, default: u32| if value == 0 { default } else { value };
        let filled = Self {
            vcpus: or(self.vcpus, default.vcpus),
            memory_mib: or(self.memory_mib, default.memory_mib),
            disk_mib: or(self.disk_mib, default.disk_mib),
        };
        if !(1..=8).contains(&filled.vcpus) {
            return Err(("resources.vcpus", "must be 1 to 8"));
        }
        if !(128..=16_384).contains(&filled.memory_mib) {
            return Err(("resources.memory_mib", "must be 128 to 16384"));
        }
        if !(64..=65_536).contains(&filled.disk_mib) {
            return Err(("resources.disk_mib", "must be 64 to 65536"));
        }
        Ok(filled)
    }
}

/// What gives a seat its machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Runtime {
    /// A Firecracker MicroVM.
    Firecracker,
    /// The guest under an OCI runtime.
    Container,
}

impl Runtime {
    /// As it is spelled in flags, JSON and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Firecracker => "firecracker",
            Self::Container => "container",
        }
    }
}

impl std::fmt::Display for Runtime {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.as_str())
    }
}

impl std::str::FromStr for Runtime {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "firecracker" => Ok(Self::Firecracker),
            "container" => Ok(Self::Container),
            other => Err(format!(
                "unknown runtime {other:?}: it is firecracker or container"
            )),
        }
    }
}

/// One MicroVM as it should be. Kept in the agent's run directory, so that a
/// new agent knows what it adopts.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MicroVmSpec {
    /// Whose it is.
    pub seat: SeatNo,
    /// Where it stands on this worker.
    pub slot: Slot,
    /// Grows when a fresh machine is wanted; an older one is replaced.
    pub incarnation: u64,
    /// Epoch from which seat tokens are accepted.
    pub epoch: u64,
    /// What it has.
    pub resources: Resources,
    /// What it may take, where the workshop says so.
    #[serde(default)]
    pub limits: Asked,
    /// How many seats share its worker. Another number alone makes no other
    /// machine: it counts from the next start.
    #[serde(default)]
    pub seats_on_worker: u32,
    /// The root filesystem it starts from.
    pub template: String,
    /// Environment of the learner's shells. May hold secrets: never logged.
    pub env: BTreeMap<String, String>,
    /// For the greeting.
    pub workshop_name: String,
}

impl std::fmt::Debug for MicroVmSpec {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("MicroVmSpec")
            .field("seat", &self.seat)
            .field("slot", &self.slot)
            .field("incarnation", &self.incarnation)
            .field("epoch", &self.epoch)
            .field("resources", &self.resources)
            .field("env", &format_args!("{} names", self.env.len()))
            .finish_non_exhaustive()
    }
}

/// Where a MicroVM is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MicroVmState {
    /// Accepted, waiting for its turn.
    Queued,
    /// Being started.
    Booting,
    /// Terminal and files answer.
    Ready,
    /// Died; will be started again.
    Restarting,
    /// Given up.
    Failed,
    /// Being ended.
    Stopping,
}

/// One MicroVM as an agent reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MicroVm {
    /// Whose it is.
    pub seat: SeatNo,
    /// Where it stands.
    pub slot: Slot,
    /// Which of its lives.
    pub incarnation: u64,
    /// Where it is in that life.
    pub state: MicroVmState,
    /// Why, for people.
    pub reason: String,
    /// How often it was started again by itself.
    pub restarts: u32,
    /// The epoch in force.
    pub epoch: u64,
    /// When its terminal and files first answered.
    pub ready_at: Option<DateTime<Utc>>,
    /// When the learner last typed.
    pub last_input_at: Option<DateTime<Utc>>,
    /// Terminals open now.
    pub terminals: u32,
    /// Those before it in the queue.
    pub queue_position: u32,
}

/// How a MicroVM that died by itself is started again: at once the first time,
/// then after 1, 2, 4 … seconds, and given up after [`RestartPolicy::LIMIT`]
/// deaths within [`RestartPolicy::WINDOW`].
#[derive(Debug, Clone, Copy)]
pub struct RestartPolicy;

impl RestartPolicy {
    /// Deaths within the window after which a MicroVM counts as failed.
    pub const LIMIT: usize = 5;
    /// How long a death is remembered.
    pub const WINDOW: Duration = Duration::from_mins(10);

    /// The wait before the next start, or `None` to give up. `deaths` are the
    /// ages of its deaths, the present one included, as durations before now.
    pub fn next(deaths: &[Duration]) -> Option<Duration> {
        let recent = deaths.iter().filter(|age| **age <= Self::WINDOW).count();
        match recent {
            0 | 1 => Some(Duration::ZERO),
            n if n > Self::LIMIT => None,
            n => Some(Duration::from_secs(1 << (n - 2).min(5))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zeros_mean_the_default_and_ranges_hold() {
        let of = |vcpus, memory_mib, disk_mib| Resources {
            vcpus,
            memory_mib,
            disk_mib,
        };
        let default = Resources::DEFAULT;
        assert_eq!(of(0, 0, 0).checked(default), Ok(default));
        assert_eq!(of(2, 1024, 0).checked(default), Ok(of(2, 1024, 2048)));
        for (bad, field) in [
            (of(9, 0, 0), "resources.vcpus"),
            (of(0, 64, 0), "resources.memory_mib"),
            (of(0, 0, 70_000), "resources.disk_mib"),
        ] {
            assert_eq!(bad.checked(default).unwrap_err().0, field);
        }
    }

    #[test]
    fn restarts_back_off_and_end() {
        let secs = Duration::from_secs;
        for (deaths, want) in [
            (vec![0], Some(0)),
            (vec![0, 3], Some(1)),
            (vec![0, 3, 9], Some(2)),
            (vec![0, 1, 2, 3], Some(4)),
            (vec![0, 1, 2, 3, 4], Some(8)),
            (vec![0, 1, 2, 3, 4, 5], None),
            (vec![0, 601, 602, 603, 604, 605], Some(0)),
        ] {
            let ages: Vec<_> = deaths.iter().copied().map(secs).collect();
            assert_eq!(RestartPolicy::next(&ages), want.map(secs), "{deaths:?}");
        }
    }
}
