//! One seat: the task that owns its machine, from the first boot to the last
//! file.
//!
//! Way: requests from the fleet's owner and deaths from the kernel -> the seat's
//! phase -> [`SeatLife`] to its sockets, [`Report`] to the owner.

mod answer;
mod begin;
mod end;
mod tell;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use clarateach_domain::microvm::{MicroVm, MicroVmSpec, MicroVmState, RestartPolicy};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::JoinHandle,
    time::sleep_until,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, warn};

use super::{
    handle::{Cut, EpochReason, FleetError, Notice, Preview, SeatLife},
    pulse::{Beat, Pulse},
    shared::{Shared, Turn},
};
use crate::{
    rundir::SeatDir,
    runtime::{Disk, Machine},
};

pub(super) use tell::moment;

/// How long a guest may take to close viewers or show a notice.
const TELL_WITHIN: Duration = Duration::from_millis(400);

/// What a seat's task is asked by the fleet's owner.
#[derive(Debug)]
pub(super) enum SeatRequest {
    Ensure {
        spec: MicroVmSpec,
        reply: oneshot::Sender<Result<MicroVm, FleetError>>,
    },
    Remove {
        grace: Duration,
        reply: oneshot::Sender<Result<(), FleetError>>,
    },
    RaiseEpoch {
        epoch: u64,
        reason: EpochReason,
        reply: oneshot::Sender<Result<(), FleetError>>,
    },
    Notify {
        notice: Notice,
        reply: oneshot::Sender<bool>,
    },
    CloseViewers {
        viewers: Vec<String>,
        code: u16,
        reason: String,
        reply: oneshot::Sender<()>,
    },
    Preview {
        reply: oneshot::Sender<Option<Preview>>,
    },
    Sync {
        reply: oneshot::Sender<bool>,
    },
}

/// What a seat's task tells the fleet's owner.
#[derive(Debug)]
pub(super) enum Report {
    /// It changed. `turn` is its place in the queue while it waits.
    Changed { vm: MicroVm, turn: Option<u64> },
    /// It is gone with everything of it; these wait to hear so.
    Gone {
        vm: MicroVm,
        told: Vec<oneshot::Sender<Result<(), FleetError>>>,
    },
}

/// How a seat's task begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Beginning {
    /// A new seat.
    New,
    /// An earlier agent left it, running or not.
    Adopt,
    /// An earlier agent left it and its spec cannot be read, for this reason. It
    /// is left alone until somebody asks for a later life or for its removal.
    Unread(String),
}

type Boot = JoinHandle<anyhow::Result<Machine>>;

/// Where the machine is.
enum Phase {
    /// In a task of its own, so that requests are heard meanwhile.
    Booting {
        task: Boot,
        turn: Turn,
        cancel: CancellationToken,
    },
    Running(Box<Running>),
    /// Until the time named.
    Waiting(tokio::time::Instant),
    /// Given up, or something could not be removed.
    Failed,
}

/// A machine that runs and is looked after.
struct Running {
    machine: Machine,
    pulse: Pulse,
}

/// What happened to the machine by itself.
enum Event {
    TurnCame,
    Booted(anyhow::Result<Machine>),
    Died,
    WaitOver,
    Pulse(Beat),
}

/// One seat and all that its task knows.
pub(super) struct Seat {
    shared: Arc<Shared>,
    dir: SeatDir,
    spec: MicroVmSpec,
    vm: MicroVm,
    life: watch::Sender<SeatLife>,
    deaths: Vec<Instant>,
    log: tracing::Span,
}

impl Seat {
    /// A seat of this fleet, not begun.
    pub(super) fn new(shared: Arc<Shared>, spec: MicroVmSpec) -> Self {
        let dir = shared.run.seat(spec.slot);
        let vm = MicroVm {
            seat: spec.seat,
            slot: spec.slot,
            incarnation: spec.incarnation,
            state: MicroVmState::Queued,
            reason: String::new(),
            restarts: 0,
            epoch: 0,
            ready_at: None,
            last_input_at: None,
            terminals: 0,
            queue_position: 0,
        };
        let (life, _) = watch::channel(SeatLife {
            state: MicroVmState::Queued,
            epoch: None,
            made_for: spec.epoch,
            cut: None,
            life: 1,
        });
        let log = tracing::info_span!("seat", workshop = %shared.workshop, seat = %spec.seat);
        Self {
            shared,
            dir,
            spec,
            vm,
            life,
            deaths: Vec::new(),
            log,
        }
    }

    /// As it is reported.
    pub(super) fn vm(&self) -> &MicroVm {
        &self.vm
    }

    /// Owns the seat until it is removed. `begun` hears when an adopted seat
    /// runs or is known not to.
    pub(super) async fn run(
        mut self,
        beginning: Beginning,
        mut requests: mpsc::Receiver<SeatRequest>,
        begun: oneshot::Sender<()>,
    ) {
        let log = self.log.clone();
        async move {
            let mut phase = self.begin(beginning).await;
            let _ended = begun.send(());
            loop {
                tokio::select! {
                    request = requests.recv() => match request {
                        None => return, // the fleet ended; the machine stays
                        Some(SeatRequest::Remove { grace, reply }) => {
                            match self.remove(phase, grace).await {
                                Ok(()) => return self.bury(reply, requests).await,
                                Err(cause) => {
                                    phase = Phase::Failed;
                                    self.fail(&cause).await;
                                    let seat = self.spec.seat;
                                    let _ended = reply.send(Err(FleetError::Remove { seat, cause }));
                                }
                            }
                        }
                        Some(request) => phase = self.answer(request, phase).await,
                    },
                    event = next(&mut phase) => phase = self.meet(event, phase).await,
                }
            }
        }
        .instrument(log)
        .await;
    }

    async fn meet(&mut self, event: Event, phase: Phase) -> Phase {
        match (event, phase) {
            (Event::TurnCame, phase) => {
                if self.vm.state == MicroVmState::Queued {
                    self.put_state(MicroVmState::Booting);
                    self.tell(None).await;
                }
                phase
            }
            (Event::Booted(Ok(machine)), _) => {
                self.become_ready().await;
                self.look_after(machine)
            }
            (Event::Booted(Err(error)), _) => {
                warn!(error = format!("{error:#}"), "machine did not start");
                self.fall(format!("{error:#}")).await
            }
            (Event::Died, _) => {
                warn!("machine died");
                self.fall("its machine ended by itself".to_owned()).await
            }
            (Event::WaitOver, _) => {
                self.vm.restarts += 1;
                self.boot(Disk::Keep, true).await
            }
            (Event::Pulse(Beat::Healthy(health)), phase) => {
                self.note(&health).await;
                phase
            }
            (Event::Pulse(Beat::Hung(why)), phase) => {
                warn!(why, "machine hung");
                // Now, and not when its next start comes: it holds memory and
                // may wake up beside its successor.
                drop(phase);
                if let Err(error) = self.shared.runtime.halt(self.spec.slot, Disk::Keep).await {
                    warn!(error = format!("{error:#}"), "hung machine was not removed");
                }
                self.fall(why).await
            }
        }
    }

    fn look_after(&self, machine: Machine) -> Phase {
        let runtime = Arc::clone(&self.shared.runtime);
        let pulse = Pulse::of(runtime, self.spec.slot, machine.control().clone());
        Phase::Running(Box::new(Running { machine, pulse }))
    }

    /// After a death: the next start by the policy, or none.
    async fn fall(&mut self, reason: String) -> Phase {
        let now = Instant::now();
        self.deaths.push(now);
        self.deaths
            .retain(|death| now.duration_since(*death) <= RestartPolicy::WINDOW);
        let ages: Vec<_> = self
            .deaths
            .iter()
            .map(|death| now.duration_since(*death))
            .collect();
        self.vm.reason = reason;
        if let Some(wait) = RestartPolicy::next(&ages) {
            self.end_life(MicroVmState::Restarting, Some(Cut::Restarted));
            self.tell(None).await;
            return Phase::Waiting(tokio::time::Instant::now() + wait);
        }
        self.end_life(MicroVmState::Failed, Some(Cut::Restarted));
        self.tell(None).await;
        // What is left of it must not run on unseen.
        if let Err(error) = self.shared.runtime.halt(self.spec.slot, Disk::Keep).await {
            warn!(
                error = format!("{error:#}"),
                "failed machine was not removed"
            );
        }
        Phase::Failed
    }
}

/// What happens next by itself.
async fn next(phase: &mut Phase) -> Event {
    match phase {
        Phase::Booting { task, turn, .. } => {
            tokio::select! {
                booted = task => Event::Booted(booted.unwrap_or_else(|gone| Err(gone.into()))),
                () = turn.came() => Event::TurnCame,
            }
        }
        Phase::Running(running) => {
            let Running { machine, pulse } = &mut **running;
            tokio::select! {
                () = machine.died() => Event::Died,
                beat = pulse.next() => Event::Pulse(beat),
            }
        }
        Phase::Waiting(until) => {
            sleep_until(*until).await;
            Event::WaitOver
        }
        Phase::Failed => std::future::pending().await,
    }
}
