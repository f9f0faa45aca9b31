//! How a seat ends: its machine, its folder, its place in the tables.

use std::{
    sync::PoisonError,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use clarateach_domain::microvm::MicroVmState;
use tokio::{
    sync::{mpsc, oneshot},
    task::spawn_blocking,
    time::timeout,
};
use tracing::{debug, info};

use super::{
    super::handle::{Cut, FleetError},
    Phase, Report, Seat, SeatRequest, TELL_WITHIN,
};
use crate::runtime::Disk;

impl Seat {
    /// Ends the machine and removes all of it.
    pub(super) async fn remove(&mut self, phase: Phase, grace: Duration) -> anyhow::Result<()> {
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
    pub(super) async fn bury(
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
    pub(super) async fn stop_boot(&self, phase: Phase) {
        if let Phase::Booting { task, cancel, .. } = phase {
            cancel.cancel();
            let _machine = task.await;
        }
    }
}
