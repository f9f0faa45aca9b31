//! The loop: makes the world what the rows say, and the rows what the world is.
//!
//! Way: a wake or the clock -> [`settle::settle`] of one workshop: observe ->
//! `domain::plan` -> apply -> save -> again until nothing is left to do now.
//! Creation, repair, expiry and deletion are this one road; killed at any
//! point, the next process walks it from the start.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use clarateach_domain::ids::WorkshopId;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{agents::Agents, provisioner::Provisioner, store::Store};

mod apply;
mod crash;
mod observe;
mod settle;
mod sight;
mod sweep;
mod wake;

pub use crash::{CRASH_POINTS, CrashAt};
pub use wake::Wake;

/// Workshops settled at the same time.
const AT_ONCE: usize = 16;
/// The clock: whatever woke nobody is found this often.
const TICK: Duration = Duration::from_secs(10);
/// How often workers without a row are looked for.
const SWEEP: Duration = Duration::from_mins(1);
/// How long a settling workshop may take to end its step when told to stop.
const DRAIN: Duration = Duration::from_secs(5);

/// What the loop works with.
#[derive(Clone)]
pub struct Reconciler {
    store: Store,
    agents: Agents,
    provisioner: Arc<dyn Provisioner>,
    wake: Wake,
    crash: CrashAt,
    /// How long agents' certificates live.
    leaf_life: Duration,
    /// Names this process in leases.
    holder: Arc<str>,
    /// Workers without a row, by the last sweep.
    suspects: Arc<tokio::sync::Mutex<BTreeSet<String>>>,
}

impl Reconciler {
    /// `agents` must wake the same `wake`.
    pub fn new(
        store: Store,
        provisioner: Arc<dyn Provisioner>,
        agents: Agents,
        wake: Wake,
        crash: CrashAt,
    ) -> Self {
        Self {
            store,
            agents,
            provisioner,
            wake,
            crash,
            leaf_life: observe::LEAF_LIFE,
            holder: format!("{:032x}", rand::random::<u128>()).into(),
            suspects: Arc::default(),
        }
    }

    /// Leaves of another life: tests cannot wait for a day.
    #[cfg(test)]
    fn with_leaf_life(mut self, life: Duration) -> Self {
        self.leaf_life = life;
        self
    }

    /// Runs until `stop`; steps under way are finished within a bound, and
    /// nothing that runs is ended.
    pub async fn run(self, stop: CancellationToken) {
        if let Err(cause) = self.store.drop_leases_of_the_dead().await {
            warn!(error = ?cause, "leases of an earlier process were left to run out");
        }
        let mut rounds = Rounds::new(self);
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut sweep = interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let alarm = rounds.next_alarm();
            tokio::select! {
                () = stop.cancelled() => break,
                _ = tick.tick() => rounds.all().await,
                _ = sweep.tick() => {
                    let this = rounds.this.clone();
                    tokio::spawn(async move { this.sweep().await });
                }
                woken = rounds.this.wake.woken() => woken.iter().for_each(|id| rounds.start(id)),
                () = sleep_until(alarm) => rounds.ring(),
                Some(ended) = rounds.running.join_next() => rounds.ended(ended),
            }
        }
        let rest = async { while rounds.running.join_next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, rest).await.is_err() {
            info!("steps under way were left to the next start");
        }
    }
}

/// Which workshops are being settled, which wait, and when to look again.
struct Rounds {
    this: Arc<Reconciler>,
    places: Arc<Semaphore>,
    running: JoinSet<(WorkshopId, Option<Duration>)>,
    busy: BTreeSet<WorkshopId>,
    /// Woken while busy.
    again: BTreeSet<WorkshopId>,
    alarms: BTreeMap<WorkshopId, Instant>,
}

impl Rounds {
    fn new(this: Reconciler) -> Self {
        Self {
            this: Arc::new(this),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            running: JoinSet::new(),
            busy: BTreeSet::new(),
            again: BTreeSet::new(),
            alarms: BTreeMap::new(),
        }
    }

    async fn all(&mut self) {
        match self.this.store.unsettled().await {
            Ok(ids) => ids.iter().for_each(|id| {
                if !self.busy.contains(id) {
                    self.start(id);
                }
            }),
            Err(cause) => warn!(error = ?cause, "workshops could not be listed"),
        }
    }

    fn start(&mut self, id: &WorkshopId) {
        if !self.busy.insert(id.clone()) {
            self.again.insert(id.clone());
            return;
        }
        self.alarms.remove(id);
        let (this, places, id) = (self.this.clone(), self.places.clone(), id.clone());
        self.running.spawn(async move {
            let _place = places.acquire_owned().await;
            let again = this.settle(&id).await;
            (id, again)
        });
    }

    fn ended(&mut self, ended: Result<(WorkshopId, Option<Duration>), tokio::task::JoinError>) {
        let (id, again) = match ended {
            Ok(ended) => ended,
            Err(cause) => {
                // Which one is not known: all may be looked at again.
                warn!(error = ?cause, "settling a workshop broke off");
                self.busy.clear();
                return;
            }
        };
        self.busy.remove(&id);
        if self.again.remove(&id) {
            self.start(&id);
        } else if let Some(wait) = again {
            self.alarms.insert(id, Instant::now() + wait);
        }
    }

    fn next_alarm(&self) -> Instant {
        let never = Instant::now() + Duration::from_hours(1);
        self.alarms.values().copied().min().unwrap_or(never)
    }

    fn ring(&mut self) {
        let now = Instant::now();
        let due = self.alarms.iter().filter(|(_, at)| **at <= now);
        let due: Vec<_> = due.map(|(id, _)| id.clone()).collect();
        for id in &due {
            self.start(id);
        }
    }
}

#[cfg(test)]
mod tests;
