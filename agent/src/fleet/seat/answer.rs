//! What a seat is asked, answered.

use std::time::Duration;

use clarateach_domain::microvm::{MicroVm, MicroVmSpec, MicroVmState};
use clarateach_proto::guest::Notify;
use tokio::task::spawn_blocking;
use tracing::{debug, info, warn};

use super::{
    super::{
        handle::{Cut, EpochReason, FleetError},
        preview,
    },
    Phase, Seat, SeatRequest, TELL_WITHIN,
};
use crate::runtime::Disk;

/// How long a guest may take to write what it holds: a VM that is taken away gives
/// thirty seconds in all.
const SYNC_WITHIN: Duration = Duration::from_secs(20);

impl Seat {
    pub(super) async fn answer(&mut self, request: SeatRequest, phase: Phase) -> Phase {
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
}
