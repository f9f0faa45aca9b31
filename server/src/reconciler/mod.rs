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

use clarateach_domain::{ids::WorkshopId, sweep::Mode};
use tokio::{
    sync::Semaphore,
    task::JoinError,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::{
    agents::Agents,
    crash::CrashAt,
    provisioner::Provisioner,
    store::{Store, StoreError},
};

mod apply;
mod cut;
mod evidence;
mod observe;
mod settle;
mod sight;
mod sweep;
mod tasks;
mod wake;

pub use wake::Wake;

use sweep::Sweeping;
use tasks::Tasks;

/// Workshops settled at the same time.
const AT_ONCE: usize = 16;
/// The rest of a workshop after it was settled: what fifty seats report while they
/// boot is looked at together, and not once for every word.
const REST: Duration = Duration::from_millis(50);
/// The clock: whatever woke nobody is found this often.
const TICK: Duration = Duration::from_secs(10);
/// What rests is looked at each so many ticks: nothing but a hand at its cloud changes it.
const RESTS: u32 = 6;
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
    sweeping: Arc<tokio::sync::Mutex<Sweeping>>,
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
            sweeping: Arc::new(tokio::sync::Mutex::new(Sweeping::new(Mode::Remove))),
        }
    }

    /// What is done with workers that no row knows.
    #[must_use]
    pub fn with_sweep(mut self, mode: Mode) -> Self {
        self.sweeping = Arc::new(tokio::sync::Mutex::new(Sweeping::new(mode)));
        self
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
        self.note_newest_row().await;
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
                woken = rounds.this.wake.woken() => woken.iter().for_each(|id| {
                    rounds.cut(id);
                    rounds.start(id);
                }),
                () = sleep_until(alarm) => rounds.ring(),
                Some((id, ended)) = rounds.running.next() => rounds.ended(id, ended),
                Some((id, ended)) = rounds.cutting.next() => rounds.cut_ended(&id, ended),
            }
        }
        let rest = async { while rounds.running.next().await.is_some() {} };
        if tokio::time::timeout(DRAIN, rest).await.is_err() {
            info!("steps under way were left to the next start");
        }
    }
}

impl Reconciler {
    /// Workshops to look at, with those that rest or without; nobody dials the agents of the
    /// others any more, which another control plane may have ended.
    async fn unsettled(&self, resting: bool) -> Result<Vec<WorkshopId>, StoreError> {
        // Before they are listed: what begins meanwhile is dialled by whoever settles it.
        let dialled = self.agents.workshops();
        let ids = self.store.unsettled(resting).await?;
        for over in dialled.iter().filter(|id| !ids.contains(id)) {
            self.agents.forget_all_but(over, &[]);
        }
        Ok(ids)
    }
}

/// Which workshops are being settled, which wait, and when to look again.
struct Rounds {
    this: Arc<Reconciler>,
    places: Arc<Semaphore>,
    running: Tasks<Option<Duration>>,
    busy: BTreeSet<WorkshopId>,
    /// Woken while busy.
    again: BTreeSet<WorkshopId>,
    /// Where learners are being cut off, past the rounds.
    cutting: Tasks<()>,
    /// Those, and whether they were woken meanwhile.
    cuts: BTreeMap<WorkshopId, bool>,
    alarms: BTreeMap<WorkshopId, Instant>,
    /// Until when those that were just settled rest.
    rests: BTreeMap<WorkshopId, Instant>,
    /// How often the clock has struck.
    ticks: u32,
}

impl Rounds {
    fn new(this: Reconciler) -> Self {
        Self {
            this: Arc::new(this),
            places: Arc::new(Semaphore::new(AT_ONCE)),
            running: Tasks::new(),
            busy: BTreeSet::new(),
            again: BTreeSet::new(),
            cutting: Tasks::new(),
            cuts: BTreeMap::new(),
            alarms: BTreeMap::new(),
            rests: BTreeMap::new(),
            ticks: 0,
        }
    }

    async fn all(&mut self) {
        let resting = self.ticks.is_multiple_of(RESTS);
        self.ticks = self.ticks.wrapping_add(1);
        match self.this.unsettled(resting).await {
            Ok(ids) => ids.iter().for_each(|id| {
                if !self.busy.contains(id) {
                    self.start(id);
                }
            }),
            Err(cause) => warn!(error = ?cause, "workshops could not be listed"),
        }
    }

    fn start(&mut self, id: &WorkshopId) {
        if self.busy.contains(id) {
            self.again.insert(id.clone());
            return;
        }
        let now = Instant::now();
        self.rests.retain(|_, until| *until > now);
        if let Some(until) = self.rests.get(id) {
            self.alarms.insert(id.clone(), *until);
            return;
        }
        self.busy.insert(id.clone());
        self.alarms.remove(id);
        let (this, places, whose) = (self.this.clone(), self.places.clone(), id.clone());
        self.running.spawn(id, async move {
            let _place = places.acquire_owned().await;
            this.settle(&whose).await
        });
    }

    /// A round may wait for a machine; a learner who was sent away may not.
    fn cut(&mut self, id: &WorkshopId) {
        if let Some(again) = self.cuts.get_mut(id) {
            *again = true;
            return;
        }
        self.cuts.insert(id.clone(), false);
        let (this, whose) = (self.this.clone(), id.clone());
        self.cutting
            .spawn(id, async move { this.cut(&whose).await });
    }

    fn cut_ended(&mut self, id: &WorkshopId, ended: Result<(), JoinError>) {
        if let Err(cause) = ended {
            warn!(workshop = %id, error = ?cause, "cutting learners off broke off");
        }
        if self.cuts.remove(id) == Some(true) {
            self.cut(id);
        }
    }

    fn ended(&mut self, id: WorkshopId, ended: Result<Option<Duration>, JoinError>) {
        let again = ended.unwrap_or_else(|cause| {
            warn!(workshop = %id, error = ?cause, "settling a workshop broke off");
            None // the clock starts it again
        });
        self.busy.remove(&id);
        self.rests.insert(id.clone(), Instant::now() + REST);
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
