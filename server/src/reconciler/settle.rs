//! Settles one workshop: observe, plan, apply, save, until nothing is left to
//! do now. One process at a time, by a lease.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clarateach_domain::{
    ids::WorkshopId,
    plan::{AgentSeen, Ordinal, plan},
    workshop::{Desired, Phase},
};
use tokio::time::timeout;
use tracing::{debug, info, instrument, warn};

use super::{
    Reconciler,
    apply::{HOLD, LASTING},
    observe::Looked,
    sight,
};
use crate::store::{
    StoreError,
    leases::Taken,
    settle::{AttemptRow, Settling},
    settled::Settled,
};

/// Rounds without a pause: more than any life needs, few enough to be fair.
const ROUNDS: usize = 40;
/// Never a busy loop, however the clocks stand.
const LEAST: Duration = Duration::from_millis(50);
/// The wait after a step that failed and has no back-off of its own.
const AFTER_FAILURE: Duration = Duration::from_secs(1);
/// The wait after the database refused.
const AFTER_STORE: Duration = Duration::from_secs(3);
/// The longest wait for another's lease: it may be given back at any time.
const AFTER_OTHERS: Duration = Duration::from_secs(1);
/// The database may be out of reach without saying so.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

impl Reconciler {
    /// Settles as far as it goes now; when to look again even if nothing wakes.
    #[instrument(skip_all, fields(workshop = %id))]
    pub(super) async fn settle(&self, id: &WorkshopId) -> Option<Duration> {
        let name = format!("settle/{id}");
        let lease = match timeout(STORE_PATIENCE, self.store.take(&name, &self.holder)).await {
            Ok(Ok(Taken::Mine(lease))) => lease,
            // Another process, or one that died.
            Ok(Ok(Taken::Others(left))) => return Some(left.clamp(LEAST, AFTER_OTHERS)),
            Ok(Err(cause)) => {
                warn!(error = ?cause, "lease could not be taken");
                return Some(AFTER_STORE);
            }
            Err(_) => {
                warn!("lease could not be taken: the database does not answer");
                return Some(AFTER_STORE);
            }
        };
        let rounds = async {
            self.rounds(id).await.unwrap_or_else(|cause| {
                warn!(error = ?cause, "workshop could not be settled");
                Some(AFTER_STORE)
            })
        };
        // Boxed: a round holds the rows of a whole workshop.
        let Some(again) = self.store.hold(&lease, Box::pin(rounds)).await else {
            warn!("lease was lost to another process, or to a database out of reach");
            return Some(AFTER_STORE);
        };
        if let Ok(Err(cause)) = timeout(STORE_PATIENCE, self.store.release(&lease)).await {
            warn!(error = ?cause, "lease could not be given back");
        }
        again
    }

    /// A worker that answers has reached what its tries were for, and one that
    /// holds the policy has taken it.
    async fn clear_tries(&self, of: &Settling, looked: &Looked) -> Result<(), StoreError> {
        for (at, worker) in &looked.seen.workers {
            let AgentSeen::Answers { egress, .. } = &worker.agent else {
                continue;
            };
            let mut reached = LASTING.to_vec();
            if egress.as_ref() == Some(&of.want.egress) {
                reached.push(HOLD);
            }
            let lasting = |(of, verb, _): &&(Ordinal, String, AttemptRow)| {
                of == at && reached.contains(&verb.as_str())
            };
            if of.attempts.iter().any(|attempt| lasting(&attempt)) {
                self.store.clear_attempts(&of.id, *at, &reached).await?;
            }
        }
        Ok(())
    }

    /// Puts on Watch streams, once, that a worker's VM is being taken away or was stopped
    /// by somebody: its row says so from then on.
    async fn tell_of_endings(&self, of: &Settling, looked: &Looked) -> Result<(), StoreError> {
        let says = |at: &Ordinal, reason: &str| {
            let row = of.workers.get(at);
            row.is_some_and(|row| row.reason == reason)
        };
        // One that is being started again was told of.
        let starts = |at: &Ordinal| {
            let mut tries = of.attempts.iter();
            tries.any(|(of, verb, _)| of == at && verb == "start")
        };
        let taken = looked.preempted.iter();
        for at in taken.filter(|at| !says(at, sight::PREEMPTED) && !starts(at)) {
            let message = format!(
                "a machine is taken away by its cloud (worker {at}): files come back with it, \
                 programs end"
            );
            info!(worker = at, "VM is being taken away");
            self.store.ending(&of.id, &message, Utc::now()).await?;
        }
        let held = looked.seen.workers.iter();
        let held = held.filter(|(_, worker)| worker.held(of.want.since));
        for (at, _) in held.filter(|(at, _)| !says(at, sight::BY_HAND)) {
            let message = format!(
                "worker {at} was stopped by hand at its cloud: its seats rest with their files \
                 until the workshop is started"
            );
            info!(worker = at, "VM was stopped by hand");
            self.store.ending(&of.id, &message, Utc::now()).await?;
        }
        Ok(())
    }

    async fn rounds(&self, id: &WorkshopId) -> Result<Option<Duration>, StoreError> {
        self.crash.pass("settle", "begun");
        for round in 0..ROUNDS {
            let Some(before) = self.store.settling(id).await? else {
                return Ok(None);
            };
            if before.want.phase == Phase::Deleted {
                return Ok(None);
            }
            let looked = self.observe(&before).await?;
            self.clear_tries(&before, &looked).await?;
            if before.want.desired == Desired::Present {
                self.tell_terminals(&before, &looked).await?;
            }
            let now = Utc::now();
            let plan = plan(&before.want, &looked.seen, now);
            debug!(round, steps = ?plan.steps, phase = %plan.phase, "planned");
            let settled = Settled {
                phase: plan.phase,
                reason: plan.reason.clone(),
                seats: sight::seats(&before, &looked, &plan),
                workers: sight::workers(&before, &looked),
            };
            if plan.phase == Phase::Failed && before.want.phase != Phase::Failed {
                self.keep_evidence(&before, &looked).await?;
            }
            if before.want.desired == Desired::Present {
                self.tell_of_endings(&before, &looked).await?;
            }
            let current = self.store.save_settled(&before, &settled, now).await?;
            self.crash.pass("settle", "saved");
            if current {
                sight::tell_network(&before, &settled.workers);
            }
            if before.want.phase != plan.phase && current {
                info!(phase = %plan.phase, reason = plan.reason, "phase changed");
            }
            if !current {
                continue; // wanted otherwise meanwhile: look again
            }
            if plan.steps.is_empty() {
                return Ok(plan.again.map(|when| until(when, now)));
            }
            if self.settle_before_stops(&before, &plan.steps).await {
                // That may take long, and they may be wanted again by now.
                let now = self.store.settling(id).await?;
                if now.is_none_or(|now| now.generation != before.generation) {
                    continue;
                }
            }
            for step in plan.steps {
                if !self.apply(&before, &looked, step).await? {
                    return Ok(Some(plan.again.map_or(AFTER_FAILURE, |when| {
                        until(when, now).min(AFTER_FAILURE)
                    })));
                }
            }
        }
        warn!("workshop did not come to rest");
        Ok(Some(AFTER_FAILURE))
    }
}

fn until(when: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (when - now).to_std().unwrap_or_default().max(LEAST)
}
