//! Cuts learners off at once, whatever the loop is busy with: on every wake,
//! past the rounds. The rounds stay the guarantee; all that is done here they
//! do again if it failed.

use std::{collections::BTreeMap, time::Duration};

use clarateach_domain::{
    ids::{WorkerName, WorkshopId},
    microvm::MicroVmState,
    plan::{EpochReason, SeatWant, SeatWish},
    workshop::Desired,
};
use futures_util::future::join_all;
use tracing::{instrument, warn};

use super::Reconciler;
use crate::agents::LinkState;

impl Reconciler {
    /// Holds agents that answer to the epochs of the rows, and has them end the
    /// seats of a workshop that is to go.
    #[instrument(skip_all, fields(workshop = %id))]
    pub(super) async fn cut(&self, id: &WorkshopId) {
        let (desired, seats) = match self.store.wished(id).await {
            Ok(Some(wished)) => wished,
            Ok(None) => return,
            Err(cause) => {
                warn!(error = ?cause, "seats could not be read");
                return;
            }
        };
        let mut workers = BTreeMap::<_, Vec<_>>::new();
        for want in seats {
            workers.entry(want.worker).or_default().push(want);
        }
        let acts = workers.into_iter().map(|(ordinal, seats)| async move {
            self.cut_worker(&WorkerName::of(id, ordinal), desired, &seats)
                .await;
        });
        join_all(acts).await;
    }

    async fn cut_worker(&self, name: &WorkerName, desired: Desired, seats: &[SeatWant]) {
        let LinkState::Answers(heard) = self.agents.heard(name, Duration::ZERO).await else {
            return;
        };
        if !self.agents.greeted(name, heard.connection) {
            return; // the loop sends all epochs first
        }
        let has = heard.seats.iter();
        let done = if desired == Desired::Absent {
            let run = has.filter(|mv| mv.state != MicroVmState::Stopping);
            let run: Vec<_> = run.map(|mv| mv.seat).collect();
            if run.is_empty() {
                return;
            }
            self.agents.delete(name, &run).await
        } else {
            let behind = has.filter_map(|mv| {
                let want = seats.iter().find(|want| want.seat == mv.seat)?;
                let why = match want.wish {
                    SeatWish::Kept => EpochReason::Reset,
                    SeatWish::Revoked | SeatWish::Removed => EpochReason::Revoked,
                };
                (mv.epoch < want.epoch).then_some((want.seat, want.epoch, Some(why)))
            });
            let behind: Vec<_> = behind.collect();
            if behind.is_empty() {
                return;
            }
            self.agents.set_epochs(name, &behind).await
        };
        if let Err(cause) = done {
            warn!(worker = %name, error = ?cause, "learners were not cut off at once");
        }
    }
}
