//! What the rest of the agent holds of the fleet: a cheap handle that asks the
//! owner task, and a table of doors that is read without asking anybody.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};

use chrono::{DateTime, Utc};
use clarateach_domain::{
    ids::{SeatNo, Slot, WorkshopId},
    microvm::{MicroVm, MicroVmSpec, MicroVmState, Runtime},
};
use ipnet::Ipv4Net;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{network::Walls, runtime::firecracker::FirecrackerSettings};

/// What a fleet needs to know of its worker, from `config.rs`.
#[derive(Debug, Clone)]
pub struct FleetSettings {
    /// The agent's whole state, mode 0700.
    pub run_dir: PathBuf,
    /// The workshop all seats belong to.
    pub workshop: WorkshopId,
    /// What gives a seat its machine.
    pub runtime: Runtime,
    /// Where `rootfs-<hash>`, `current`, `guest-<hash>` and `guest-current` lie.
    pub images: PathBuf,
    /// First uid of slot 0's range; slot n has `uid_base + n * 65536` and 65535 more.
    pub uid_base: u32,
    /// Where Firecracker's parts are; only its runtime needs them.
    pub firecracker: FirecrackerSettings,
    /// Parent cgroup of all seats, such as `clarateach/w7`.
    pub cgroup: String,
    /// The interface towards the internet.
    pub uplink: String,
    /// Closed to guests beside what is always closed.
    pub closed: Vec<Ipv4Net>,
    /// Whom the guests' resolver asks.
    pub nameservers: Vec<IpAddr>,
    /// Boots at the same time, at least 1.
    pub boots_at_once: usize,
}

/// Why an epoch moved: becomes the close code that learners see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EpochReason {
    /// No reason was given.
    Unspecified,
    /// The seat was reset: 4409.
    Reset,
    /// The seat was taken from its learner: 4403.
    Revoked,
}

/// Why sockets to a seat must close now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Reset: 4409.
    Reset,
    /// Taken from its learner: 4403.
    Revoked,
    /// The seat is gone: 4410.
    Deleted,
    /// The machine died and comes again: 1012.
    Restarted,
}

/// A seat as its sockets see it. Every change of it reaches them at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeatLife {
    /// Where the machine is in its life; only `Ready` takes learners.
    pub state: MicroVmState,
    /// The epoch in force; `None` admits nobody.
    pub epoch: Option<u64>,
    /// The epoch the present machine was made for. Below `epoch` it is the last
    /// stay's: a fresh one is on its way, and nobody enters before it is there.
    pub made_for: u64,
    /// Why the last cut happened. After `Reset` and `Revoked`, sockets with a
    /// token below `epoch` close; after `Deleted` and `Restarted`, all do.
    pub cut: Option<Cut>,
    /// Grows with every boot of the machine: a socket opened in an older life
    /// is dead.
    pub life: u64,
}

/// The way to one seat.
#[derive(Debug, Clone)]
pub struct Door {
    /// The guest's address on the worker's bridge.
    pub address: Ipv4Addr,
    /// The guest's secret in hex, for `clarateach-secret`; empty while none is set.
    pub secret: Arc<str>,
    /// The seat's life, followed for as long as a socket is open. Closed when
    /// the seat is removed, after a last `Deleted`.
    pub life: watch::Receiver<SeatLife>,
}

/// Something for learners to see in their terminals.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// preempted, expiring, draining or help.
    pub kind: String,
    /// For people.
    pub message: String,
    /// When it happens.
    pub at: Option<DateTime<Utc>>,
}

/// What a seat's terminal shows: the one that wrote last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Preview {
    /// The last lines of its screen, at most [`Preview::LINES`], without control characters.
    pub lines: Vec<String>,
    /// When it last wrote; `None` for never.
    pub changed_at: Option<DateTime<Utc>>,
    /// The names of all its terminals.
    pub terminals: Vec<String>,
}

impl Preview {
    /// Lines of a preview at most.
    pub const LINES: usize = 12;
    /// Characters of a line at most: the rest of a wider terminal is cut off.
    pub const WIDTH: usize = 200;
    /// Terminals of a seat at most.
    pub const TERMINALS: usize = 8;
}

/// Why the fleet did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// The fleet has ended.
    #[error("the fleet of this agent has ended")]
    Closed,
    /// Another seat stands on the slot.
    #[error("slot {slot} belongs to seat {holder}")]
    SlotTaken {
        /// The slot asked for.
        slot: Slot,
        /// Who has it.
        holder: SeatNo,
    },
    /// The seat stands elsewhere on this worker.
    #[error("seat {seat} stands on slot {slot}")]
    SeatElsewhere {
        /// The seat asked for.
        seat: SeatNo,
        /// Where it is.
        slot: Slot,
    },
    /// Whose the slot is could not be read; it is kept for a person to see.
    #[error(
        "the spec on slot {slot} could not be read: mend or remove its folder, then start the agent again"
    )]
    SlotUnread {
        /// The slot asked for.
        slot: Slot,
    },
    /// The seat has too much to do; ask again.
    #[error("seat {0} has too much to do")]
    Busy(SeatNo),
    /// The seat is being removed; ask again when it is gone.
    #[error("seat {0} is being removed")]
    Removing(SeatNo),
    /// The run directory could not be written.
    #[error("could not {act} of seat {seat}")]
    RunDir {
        /// What failed.
        act: &'static str,
        /// Whose.
        seat: SeatNo,
        /// Why.
        #[source]
        cause: std::io::Error,
    },
    /// Something of the seat could not be removed; asking again tries again.
    #[error("could not remove seat {seat}")]
    Remove {
        /// Whose.
        seat: SeatNo,
        /// Why.
        #[source]
        cause: anyhow::Error,
    },
}

/// What the owner task is asked.
#[derive(Debug)]
pub(crate) enum FleetRequest {
    Ensure {
        spec: MicroVmSpec,
        reply: oneshot::Sender<Result<MicroVm, FleetError>>,
    },
    Remove {
        seat: SeatNo,
        grace: Duration,
        reply: oneshot::Sender<Result<(), FleetError>>,
    },
    SetEpochs {
        epochs: Vec<(SeatNo, u64, EpochReason)>,
        reply: oneshot::Sender<Result<(), FleetError>>,
    },
    Notify {
        seats: Vec<SeatNo>,
        notice: Notice,
        reply: oneshot::Sender<u32>,
    },
    CloseViewers {
        seat: SeatNo,
        viewers: Vec<String>,
        code: u16,
        reason: String,
        reply: oneshot::Sender<()>,
    },
    Log {
        seat: SeatNo,
        reply: oneshot::Sender<Option<String>>,
    },
    Preview {
        seat: SeatNo,
        reply: oneshot::Sender<Option<Preview>>,
    },
    Sync {
        reply: oneshot::Sender<u32>,
    },
}

/// Doors by seat. Written by the owner task alone, read by every connection.
pub(crate) type Doors = Arc<RwLock<HashMap<SeatNo, Door>>>;

/// The handle of the fleet's owner task.
#[derive(Debug, Clone)]
pub struct Fleet {
    pub(crate) requests: mpsc::Sender<FleetRequest>,
    pub(crate) doors: Doors,
    pub(crate) micro_vms: watch::Receiver<Arc<Vec<MicroVm>>>,
    pub(crate) walls: Walls,
}

impl Fleet {
    /// Makes sure this MicroVM runs: started if missing, replaced if its
    /// incarnation is older, left alone if it is there. Answers at once.
    pub async fn ensure(&self, spec: MicroVmSpec) -> Result<MicroVm, FleetError> {
        self.ask(|reply| FleetRequest::Ensure { spec, reply })
            .await?
    }

    /// Ends the seat's machine and removes all of it; answers when it is gone.
    /// A seat that is not here is gone already.
    pub async fn remove(&self, seat: SeatNo, grace: Duration) -> Result<(), FleetError> {
        self.ask(|reply| FleetRequest::Remove { seat, grace, reply })
            .await?
    }

    /// Raises epochs; never lowers one. They are on disk and in force when this
    /// answers. Seats that are not here are passed over: their spec brings the epoch.
    pub async fn set_epochs(
        &self,
        epochs: Vec<(SeatNo, u64, EpochReason)>,
    ) -> Result<(), FleetError> {
        self.ask(|reply| FleetRequest::SetEpochs { epochs, reply })
            .await?
    }

    /// Shows a notice in the terminals of `seats`, of all when empty. Answers
    /// how many guests took it.
    pub async fn notify(&self, seats: Vec<SeatNo>, notice: Notice) -> u32 {
        self.ask(|reply| FleetRequest::Notify {
            seats,
            notice,
            reply,
        })
        .await
        .unwrap_or(0)
    }

    /// Asks the guest to close viewers' sockets with a WebSocket code; all of
    /// them when `viewers` is empty. Bounded at 400 ms and never fails: who must
    /// be sure cuts the socket afterwards.
    pub async fn close_viewers(&self, seat: SeatNo, viewers: Vec<String>, code: u16, reason: &str) {
        let reason = reason.to_owned();
        let _ended = self
            .ask(|reply| FleetRequest::CloseViewers {
                seat,
                viewers,
                code,
                reason,
                reply,
            })
            .await;
    }

    /// The end of what the seat's machine logged, at most 64 KiB; `None` when
    /// the seat is not here or its log cannot be read.
    pub async fn log(&self, seat: SeatNo) -> Option<String> {
        self.ask(|reply| FleetRequest::Log { seat, reply })
            .await
            .ok()
            .flatten()
    }

    /// Has every guest write what is only in its memory to its disks; answers how
    /// many did. Bounded at twenty seconds.
    pub async fn sync(&self) -> u32 {
        let ask = self.ask(|reply| FleetRequest::Sync { reply });
        ask.await.unwrap_or(0)
    }

    /// What the seat's terminals show now; `None` when it does not run or did not
    /// say in time.
    pub async fn preview(&self, seat: SeatNo) -> Option<Preview> {
        self.ask(|reply| FleetRequest::Preview { seat, reply })
            .await
            .ok()
            .flatten()
    }

    /// Every MicroVM by slot, now and after every change.
    pub fn watch(&self) -> watch::Receiver<Arc<Vec<MicroVm>>> {
        self.micro_vms.clone()
    }

    /// The walls around all seats.
    pub fn walls(&self) -> &Walls {
        &self.walls
    }

    /// The way to a seat of this worker.
    pub fn door(&self, seat: SeatNo) -> Option<Door> {
        let doors = self.doors.read().unwrap_or_else(PoisonError::into_inner);
        doors.get(&seat).cloned()
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> FleetRequest,
    ) -> Result<T, FleetError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply)).await;
        sent.map_err(|_ended| FleetError::Closed)?;
        answer.await.map_err(|_ended| FleetError::Closed)
    }
}

#[cfg(test)]
impl Fleet {
    /// A fleet that consists of these doors, for tests of the proxy; `closing`
    /// hears which viewers are to be closed with which code.
    pub(crate) fn of_doors(
        doors: HashMap<SeatNo, Door>,
        closing: impl Fn(Vec<String>, u16) + Send + 'static,
    ) -> Self {
        let (requests, mut asked) = mpsc::channel(16);
        let (list, micro_vms) = watch::channel(Arc::default());
        tokio::spawn(async move {
            let _kept_open: watch::Sender<Arc<Vec<MicroVm>>> = list;
            while let Some(request) = asked.recv().await {
                if let FleetRequest::CloseViewers {
                    viewers,
                    code,
                    reply,
                    ..
                } = request
                {
                    closing(viewers, code);
                    let _gone = reply.send(());
                }
            }
        });
        Self {
            requests,
            doors: Arc::new(RwLock::new(doors)),
            micro_vms,
            walls: Walls::of_paper(),
        }
    }
}
