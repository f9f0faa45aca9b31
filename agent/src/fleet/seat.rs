//! One seat: the task that owns its machine, from the first boot to the last
//! file.
//!
//! Way: requests from the fleet's owner and deaths from the kernel -> the seat's
//! phase -> [`SeatLife`] to its sockets, [`Report`] to the owner.

use std::{
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use anyhow::Context as _;
use chrono::{DateTime, TimeZone as _, Utc};
use clarateach_domain::{
    microvm::{MicroVm, MicroVmSpec, MicroVmState, RestartPolicy},
    seat_net,
};
use clarateach_proto::guest::{Health, Notify};
use tokio::{
    sync::{mpsc, oneshot, watch},
    task::{JoinHandle, spawn_blocking},
    time::{sleep_until, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug, info, warn};

use super::{
    handle::{Cut, Door, EpochReason, FleetError, Notice, Preview, SeatLife},
    preview,
    pulse::{Beat, Pulse},
    ready,
    shared::{Shared, Turn},
};
use crate::{
    rundir::SeatDir,
    runtime::{Disk, Machine},
};

/// How long a guest may take to close viewers or show a notice.
const TELL_WITHIN: Duration = Duration::from_millis(400);
/// How long a guest may take to write what it holds: a VM that is taken away gives
/// thirty seconds in all.
const SYNC_WITHIN: Duration = Duration::from_secs(20);
/// How long a boot that was called off may go on by itself, and from then on how
/// often its machine is ended.
const CALLED_OFF_EVERY: Duration = Duration::from_secs(1);
/// Terminals a guest can have; more is not believed.
const MAX_TERMINALS: u32 = 8;
/// How far a guest's clock may be ahead.
const CLOCKS_APART: Duration = Duration::from_mins(1);

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

    /// Writes what must be on disk, or takes over what is there.
    async fn begin(&mut self, beginning: Beginning) -> Phase {
        let (begun, disk, clear) = match beginning {
            Beginning::New => {
                let begun = self.begin_new().await;
                (begun.map(|()| None), Disk::Discard, false)
            }
            Beginning::Adopt => (self.adopt().await, Disk::Keep, true),
            Beginning::Unread(why) => (Err(self.leave_alone(&why).await), Disk::Keep, true),
        };
        match begun {
            Ok(Some(machine)) => self.look_after(machine),
            Ok(None) => self.boot(disk, clear).await,
            Err(error) => {
                self.fail(&error).await;
                Phase::Failed
            }
        }
    }

    async fn begin_new(&mut self) -> anyhow::Result<()> {
        let (dir, spec) = (self.dir.clone(), self.spec.clone());
        let epoch = spawn_blocking(move || {
            dir.make()?;
            let epoch = dir.epoch().unwrap_or(0).max(spec.epoch);
            dir.write_epoch(epoch, false)?;
            dir.write_owner(&spec)?;
            dir.write_spec(&spec)?;
            std::io::Result::Ok(epoch)
        })
        .await?
        .context("could not write the seat's spec")?;
        self.put_epoch(Some(epoch), None);
        Ok(())
    }

    /// A seat that nobody can tell enough of to run it, and why not.
    async fn leave_alone(&mut self, why: &str) -> anyhow::Error {
        let dir = self.dir.clone();
        let epoch = spawn_blocking(move || dir.epoch()).await.ok().flatten();
        self.put_epoch(epoch, None);
        anyhow::anyhow!(
            "the seat's spec could not be read ({why}): its machine and files are left alone \
             until it is reset or removed"
        )
    }

    /// Takes over a machine that runs and answers; one that does not is dead.
    async fn adopt(&mut self) -> anyhow::Result<Option<Machine>> {
        let (dir, spec) = (self.dir.clone(), self.spec.clone());
        let (epoch, secret) = spawn_blocking(move || {
            // An agent that did not write it yet may have left the folder.
            if let Err(error) = dir.write_owner(&spec) {
                warn!(%error, "could not note whose the seat's folder is");
            }
            (dir.epoch(), dir.secret())
        })
        .await?;
        self.put_epoch(epoch, None);
        let machine = self.shared.runtime.adopt(self.spec.slot).await?;
        let (Some(machine), Some(secret)) = (machine, secret) else {
            info!("machine was not running any more");
            return Ok(None);
        };
        let configure = ready::identity(&self.spec, &secret);
        let port = (&*self.shared.runtime, self.spec.slot);
        let within = self.shared.runtime.patience() / 2;
        let answered = ready::make_ready(machine.control(), configure, port, within).await;
        if let Err(error) = answered {
            warn!(error = format!("{error:#}"), "adopted guest did not answer");
            return Ok(None);
        }
        self.open_door(secret.into());
        self.become_ready().await;
        info!("machine adopted");
        Ok(Some(machine))
    }

    /// Starts the machine in a task of its own. `clear` ends first what may be
    /// left of an earlier one.
    async fn boot(&mut self, disk: Disk, clear: bool) -> Phase {
        let secret: Arc<str> = fresh_secret().into();
        self.open_door(Arc::clone(&secret));
        let turn = self.shared.turns.take();
        let cancel = CancellationToken::new();
        let task = tokio::spawn(
            boot(
                Arc::clone(&self.shared),
                self.dir.clone(),
                self.spec.clone(),
                secret,
                (disk, clear),
                turn.clone(),
                cancel.clone(),
            )
            .in_current_span(),
        );
        self.vm.state = MicroVmState::Queued;
        self.tell(Some(turn.number())).await;
        Phase::Booting { task, turn, cancel }
    }

    async fn answer(&mut self, request: SeatRequest, phase: Phase) -> Phase {
        match request {
            SeatRequest::Ensure { spec, reply } => {
                let (phase, answer) = self.ensure(spec, phase).await;
                let _ended = reply.send(answer);
                phase
            }
            SeatRequest::RaiseEpoch {
                epoch,
                reason,
                reply,
            } => {
                let raised = self.raise_epoch(epoch, reason).await;
                let _ended = reply.send(raised);
                phase
            }
            SeatRequest::Notify { notice, reply } => {
                let told = match &phase {
                    Phase::Running(running) => Some(running.machine.control().clone()),
                    Phase::Booting { .. } | Phase::Waiting(_) | Phase::Failed => None,
                };
                tokio::spawn(async move {
                    let at_unix_millis = notice.at.map_or(0, |at| at.timestamp_millis());
                    let notify = Notify {
                        kind: notice.kind,
                        message: notice.message,
                        at_unix_millis,
                    };
                    let shown = match told {
                        Some(control) => control.notify(notify, TELL_WITHIN).await.is_ok(),
                        None => false,
                    };
                    let _ended = reply.send(shown);
                });
                phase
            }
            SeatRequest::CloseViewers {
                viewers,
                code,
                reason,
                reply,
            } => {
                if let Phase::Running(running) = &phase {
                    let control = running.machine.control().clone();
                    tokio::spawn(async move {
                        let closed = control.close_viewers(viewers, code, reason, TELL_WITHIN);
                        if let Err(error) = closed.await {
                            debug!(%error, "guest did not close viewers itself");
                        }
                        let _ended = reply.send(());
                    });
                }
                phase
            }
            SeatRequest::Preview { reply } => {
                if let Phase::Running(running) = &phase {
                    let control = running.machine.control().clone();
                    tokio::spawn(async move {
                        let _ended = reply.send(preview::ask(&control).await);
                    });
                }
                phase
            }
            SeatRequest::Sync { reply } => {
                if let Phase::Running(running) = &phase {
                    let control = running.machine.control().clone();
                    tokio::spawn(async move {
                        let synced = control.sync(SYNC_WITHIN).await;
                        if let Err(error) = &synced {
                            warn!(%error, "guest did not sync");
                        }
                        let _ended = reply.send(synced.is_ok());
                    });
                }
                phase
            }
            // Handled by the loop, which it ends.
            SeatRequest::Remove { reply, .. } => {
                let _ended = reply.send(Err(FleetError::Removing(self.spec.seat)));
                phase
            }
        }
    }

    /// Replaces an older incarnation; leaves the present or a newer one alone.
    async fn ensure(
        &mut self,
        spec: MicroVmSpec,
        phase: Phase,
    ) -> (Phase, Result<MicroVm, FleetError>) {
        if self.vm.epoch < spec.epoch
            && let Err(error) = self.raise_epoch(spec.epoch, EpochReason::Unspecified).await
        {
            return (phase, Err(error));
        }
        if spec.incarnation <= self.spec.incarnation {
            return (phase, Ok(self.vm.clone()));
        }
        info!(incarnation = spec.incarnation, "machine is being replaced");
        let (dir, fresh) = (self.dir.clone(), spec.clone());
        let written = spawn_blocking(move || {
            dir.write_owner(&fresh)?;
            dir.write_spec(&fresh)
        })
        .await;
        let seat = self.spec.seat;
        let act = "write the spec";
        if let Err(cause) = written.unwrap_or_else(|gone| Err(std::io::Error::other(gone))) {
            return (phase, Err(FleetError::RunDir { act, seat, cause }));
        }
        self.spec = spec;
        self.vm.incarnation = self.spec.incarnation;
        self.vm.restarts = 0;
        self.vm.reason = String::new();
        self.vm.last_input_at = None;
        self.deaths.clear();
        self.end_life(MicroVmState::Queued, None);
        self.stop_boot(phase).await;
        let phase = self.boot(Disk::Discard, true).await;
        (phase, Ok(self.vm.clone()))
    }

    /// On disk first, then in force.
    async fn raise_epoch(&mut self, epoch: u64, reason: EpochReason) -> Result<(), FleetError> {
        let seat = self.spec.seat;
        let (dir, present) = (self.dir.clone(), self.life.borrow().epoch);
        // After an agent without an epoch on disk, the control plane's word counts.
        if present.is_some_and(|present| present >= epoch) {
            return Ok(());
        }
        let written = spawn_blocking(move || {
            // Of a seat that failed before it had a folder, and is to be made anew.
            dir.make()?;
            dir.write_epoch(epoch, true)
        })
        .await;
        written
            .unwrap_or_else(|gone| Err(std::io::Error::other(gone)))
            .map_err(|cause| FleetError::RunDir {
                act: "write the epoch",
                seat,
                cause,
            })?;
        let cut = match reason {
            EpochReason::Unspecified => None,
            EpochReason::Reset => Some(Cut::Reset),
            EpochReason::Revoked => Some(Cut::Revoked),
        };
        self.put_epoch(Some(epoch), cut);
        self.tell(None).await;
        info!(epoch, ?reason, "epoch raised");
        Ok(())
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

    /// Ends the machine and removes all of it.
    async fn remove(&mut self, phase: Phase, grace: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        self.end_life(MicroVmState::Stopping, Some(Cut::Deleted));
        self.tell(None).await;
        let dir = self.dir.clone();
        // First, so that an agent that dies half way leaves rubbish and not a seat.
        spawn_blocking(move || dir.forget_spec())
            .await?
            .context("could not forget the seat's spec")?;
        if let Phase::Running(running) = &phase
            && !grace.is_zero()
        {
            let machine = &running.machine;
            // Before the guest ends by itself and says 1012, as for a restart.
            let gone = "the seat is gone".to_owned();
            let closing = machine
                .control()
                .close_viewers(vec![], 4410, gone, TELL_WITHIN);
            if let Err(error) = closing.await {
                debug!(%error, "viewers were not told of the removal");
            }
            let stopping = async {
                if let Err(error) = machine.control().shutdown(grace, grace).await {
                    debug!(%error, "guest was not asked to stop");
                }
                machine.died().await;
            };
            let stopped = timeout(grace + TELL_WITHIN, stopping).await.is_ok();
            debug!(stopped, took = ?began.elapsed(), "guest had its grace");
        }
        self.stop_boot(phase).await;
        self.shared
            .runtime
            .halt(self.spec.slot, Disk::Discard)
            .await?;
        let dir = self.dir.clone();
        spawn_blocking(move || dir.remove())
            .await?
            .context("could not remove the seat's folder")?;
        info!(took = ?began.elapsed(), "seat removed");
        Ok(())
    }

    /// Leaves the table and the list, and answers everybody who still waits.
    async fn bury(
        self,
        reply: oneshot::Sender<Result<(), FleetError>>,
        mut requests: mpsc::Receiver<SeatRequest>,
    ) {
        let seat = self.spec.seat;
        self.shared
            .doors
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(&seat);
        requests.close();
        let mut told = vec![reply];
        while let Some(request) = requests.recv().await {
            match request {
                SeatRequest::Remove { reply, .. } | SeatRequest::RaiseEpoch { reply, .. } => {
                    told.push(reply);
                }
                SeatRequest::Ensure { reply, .. } => {
                    let _ended = reply.send(Err(FleetError::Removing(seat)));
                }
                SeatRequest::Notify { .. }
                | SeatRequest::CloseViewers { .. }
                | SeatRequest::Preview { .. }
                | SeatRequest::Sync { .. } => {}
            }
        }
        let vm = self.vm;
        let _ended = self.shared.reports.send(Report::Gone { vm, told }).await;
    }

    /// Ends a boot under way. Its machine, if it made one, is `halt`'s.
    async fn stop_boot(&self, phase: Phase) {
        if let Phase::Booting { task, cancel, .. } = phase {
            cancel.cancel();
            let _machine = task.await;
        }
    }

    async fn note(&mut self, health: &Health) {
        let (typed, terminals) = believable(health, Utc::now());
        // A guest that started afresh does not know of keys in its earlier life.
        let typed = typed.max(self.vm.last_input_at);
        if (typed, terminals) != (self.vm.last_input_at, self.vm.terminals) {
            self.vm.last_input_at = typed;
            self.vm.terminals = terminals;
            self.tell(None).await;
        }
    }

    async fn become_ready(&mut self) {
        self.vm.reason = String::new();
        self.vm.ready_at = Some(Utc::now());
        self.put_state(MicroVmState::Ready);
        self.tell(None).await;
        info!(incarnation = self.vm.incarnation, "seat ready");
    }

    async fn fail(&mut self, error: &anyhow::Error) {
        warn!(error = format!("{error:#}"), "seat failed");
        self.vm.reason = format!("{error:#}");
        self.put_state(MicroVmState::Failed);
        self.tell(None).await;
    }

    /// The present machine is no more: its sockets close.
    fn end_life(&mut self, state: MicroVmState, cut: Option<Cut>) {
        self.vm.state = state;
        self.vm.terminals = 0;
        self.vm.ready_at = None;
        self.life.send_modify(|life| {
            life.state = state;
            life.made_for = self.spec.epoch;
            life.life += 1;
            // A reset or revocation that was just told stays the reason.
            life.cut = cut.or(life.cut).or(Some(Cut::Restarted));
        });
    }

    fn put_state(&mut self, state: MicroVmState) {
        self.vm.state = state;
        self.life.send_modify(|life| {
            life.state = state;
            if state == MicroVmState::Ready {
                life.cut = None;
            }
        });
    }

    fn put_epoch(&mut self, epoch: Option<u64>, cut: Option<Cut>) {
        self.vm.epoch = epoch.unwrap_or(0);
        self.life.send_modify(|life| {
            life.epoch = epoch;
            life.cut = cut.or(life.cut);
        });
    }

    /// Puts the seat's door into the table, in which only its own task writes it.
    fn open_door(&self, secret: Arc<str>) {
        let door = Door {
            address: seat_net::address(self.spec.slot),
            secret,
            life: self.life.subscribe(),
        };
        self.shared
            .doors
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(self.spec.seat, door);
    }

    async fn tell(&self, turn: Option<u64>) {
        let vm = self.vm.clone();
        let _ended = self.shared.reports.send(Report::Changed { vm, turn }).await;
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

/// The whole way from a turn in the queue to a guest that answers.
async fn boot(
    shared: Arc<Shared>,
    dir: SeatDir,
    spec: MicroVmSpec,
    secret: Arc<str>,
    (disk, clear): (Disk, bool),
    turn: Turn,
    cancel: CancellationToken,
) -> anyhow::Result<Machine> {
    let began = Instant::now();
    let permit = tokio::select! {
        permit = turn.wait() => permit,
        () = cancel.cancelled() => anyhow::bail!("the boot was called off"),
    };
    if clear {
        shared.runtime.halt(spec.slot, disk).await?;
    }
    let written = Arc::clone(&secret);
    spawn_blocking(move || dir.write_secret(&written))
        .await?
        .context("could not write the guest's secret")?;
    let waited = began.elapsed();
    let mut booting = std::pin::pin!(shared.runtime.boot(&spec, disk));
    let machine = tokio::select! {
        machine = &mut booting => machine?,
        () = cancel.cancelled() => {
            // Never dropped half way: its machine is ended until it sees so itself.
            while timeout(CALLED_OFF_EVERY, &mut booting).await.is_err() {
                if let Err(error) = shared.runtime.halt(spec.slot, Disk::Keep).await {
                    debug!(error = format!("{error:#}"), "boot was not called off yet");
                }
            }
            anyhow::bail!("the boot was called off");
        }
    };
    let started = began.elapsed();
    // The guest's own start needs no turn: the next machine may be built beside it.
    drop(permit);
    let configure = ready::identity(&spec, &secret);
    let port = (&*shared.runtime, spec.slot);
    let patience = shared.runtime.patience();
    let answered = tokio::select! {
        ready = ready::make_ready(machine.control(), configure, port, patience) => ready,
        () = machine.died() => Err(anyhow::anyhow!("the guest ended while it started")),
        () = cancel.cancelled() => Err(anyhow::anyhow!("the boot was called off")),
    };
    debug!(?waited, ?started, took = ?began.elapsed(), ready = answered.is_ok(), "boot ended");
    match answered {
        Ok(()) => Ok(machine),
        Err(error) => {
            shared.runtime.halt(spec.slot, Disk::Keep).await?;
            Err(error)
        }
    }
}

/// 32 bytes of the kernel's randomness, in hex.
fn fresh_secret() -> String {
    let (high, low): (u128, u128) = rand::random();
    format!("{high:032x}{low:032x}")
}

/// A moment that a guest names in milliseconds since 1970; none for 0, for what is
/// no time and for the future.
pub(super) fn moment(millis: i64, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (millis > 0)
        .then(|| Utc.timestamp_millis_opt(millis).single())
        .flatten()
        .filter(|told| *told <= now + CLOCKS_APART)
}

/// What a guest says, as far as it can be true: its learner may be root there,
/// and these numbers go into rows. A key of the future would stick for ever.
fn believable(health: &Health, now: DateTime<Utc>) -> (Option<DateTime<Utc>>, u32) {
    let typed = moment(health.last_input_unix_millis, now);
    (typed, health.terminals.min(MAX_TERMINALS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_cannot_be_true_stay_with_the_guest() {
        let now = Utc.timestamp_millis_opt(1_800_000_000_000).unwrap();
        for (millis, told) in [
            (i64::MIN, None),
            (0, None),
            (now.timestamp_millis(), Some(now)),
            (now.timestamp_millis() + 61_000, None),
            (i64::MAX, None),
        ] {
            let health = Health {
                last_input_unix_millis: millis,
                terminals: u32::MAX,
                ..Health::default()
            };
            assert_eq!(believable(&health, now), (told, MAX_TERMINALS), "{millis}");
        }
    }
}
