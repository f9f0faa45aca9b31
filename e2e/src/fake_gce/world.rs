//! All that exists, and what will happen to it when.
//!
//! One moment at a time: [`World::settle`] does everything that is due, in order,
//! and each effect is in the ledger before anybody can see it.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::{
    config::Config,
    disk::Disk,
    faults::Faults,
    instance::{Instance, Place},
    ledger::{Cause, Effect, Ledger, Seen, What},
    machines::{Teller, Turn},
    operation::{Fate, Operation, Progress, Work},
};

/// Something that will happen.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Begin(u64),
    /// The machine was found and is made ready.
    Stage(u64),
    End(u64),
    Forget(u64),
    /// Google takes this instance, if it is still there and on.
    Take(Place, u64),
    /// `maxRunDuration` of this run is over.
    RunOver(Place, u64, Duration),
}

pub(crate) struct World {
    pub(crate) config: Config,
    pub(crate) epoch: SystemTime,
    pub(crate) now: Duration,
    pub(crate) instances: BTreeMap<Place, Instance>,
    pub(crate) disks: BTreeMap<Place, Disk>,
    pub(crate) firewalls: BTreeMap<String, Value>,
    /// Reserved ones: where, and on the wire.
    pub(crate) addresses: Vec<(Seen, Value)>,
    pub(crate) operations: BTreeMap<u64, Operation>,
    /// What was asked under each request id, and the operation that it began.
    pub(crate) requests: HashMap<String, (String, u64)>,
    pub(crate) faults: Faults,
    pub(crate) ledger: Ledger,
    pub(crate) teller: Teller,
    /// GB-seconds of disks that are gone.
    pub(crate) disk_cost: f64,
    /// Seconds of instances that are gone.
    pub(crate) machine_cost: f64,
    free: VecDeque<IpAddr>,
    schedule: BTreeMap<(Duration, u64), Step>,
    last_id: u64,
    last_step: u64,
    pub(crate) last_request: u64,
}

impl World {
    pub(crate) fn new(config: Config, epoch: SystemTime) -> Self {
        Self {
            epoch,
            now: Duration::ZERO,
            instances: BTreeMap::new(),
            disks: BTreeMap::new(),
            firewalls: BTreeMap::new(),
            addresses: vec![],
            operations: BTreeMap::new(),
            requests: HashMap::new(),
            faults: Faults::new(config.seed),
            ledger: Ledger::default(),
            teller: Teller::new(config.machines.clone()),
            disk_cost: 0.0,
            machine_cost: 0.0,
            free: config.addresses.iter().copied().collect(),
            schedule: BTreeMap::new(),
            // Above 2^53: who reads ids as floating point is found out.
            last_id: 4_611_686_018_427_387_905,
            last_step: 0,
            last_request: 0,
            config,
        }
    }

    pub(crate) fn new_id(&mut self) -> u64 {
        self.last_id += 7_919;
        self.last_id
    }

    pub(crate) fn schedule(&mut self, after: Duration, step: Step) {
        self.last_step += 1;
        let key = (self.now + after, self.last_step);
        self.schedule.insert(key, step);
    }

    /// The next moment at which something happens.
    pub(crate) fn next_moment(&self) -> Option<Duration> {
        self.schedule.keys().next().map(|(at, _)| *at)
    }

    /// The next moment of an operation under way.
    pub(crate) fn next_work(&self) -> Option<Duration> {
        let works = |step: &Step| matches!(step, Step::Begin(_) | Step::Stage(_) | Step::End(_));
        let mut works = self.schedule.iter().filter(|(_, step)| works(step));
        works.next().map(|((at, _), _)| *at)
    }

    /// Does what is due by `now`.
    pub(crate) fn settle(&mut self, now: Duration) {
        while let Some(entry) = self.schedule.first_entry() {
            if entry.key().0 > now {
                break;
            }
            let ((at, _), step) = entry.remove_entry();
            self.now = at;
            self.take(step);
        }
        self.now = self.now.max(now);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Begin(id) => self.begin(id),
            Step::Stage(id) => self.stage(id),
            Step::End(id) => self.end(id),
            Step::Forget(id) => {
                self.operations.remove(&id);
                self.requests.retain(|_, (_, of)| *of != id);
            }
            Step::Take(place, id) => {
                if self.instances.get(&place).is_some_and(|i| i.id == id) {
                    self.preempt(&place);
                }
            }
            Step::RunOver(place, id, since) => {
                let same = |i: &&Instance| i.id == id && i.runs_since == Some(since);
                if self.instances.get(&place).as_ref().is_some_and(same) {
                    self.take_away(&place, "compute.instances.terminateOnMaxRunDuration");
                }
            }
        }
    }

    /// A new operation, which begins after the usual wait.
    pub(crate) fn open(&mut self, operation: Operation) -> u64 {
        let id = operation.id;
        self.operations.insert(id, operation);
        self.schedule(self.config.pace.pending, Step::Begin(id));
        id
    }

    pub(crate) fn operation(
        &mut self,
        kind: &'static str,
        zone: Option<&str>,
        target: String,
        target_id: u64,
        work: Work,
    ) -> Operation {
        Operation {
            id: self.new_id(),
            zone: zone.map(str::to_owned),
            region: None,
            kind,
            target,
            target_id,
            client_id: None,
            progress: Progress::Pending,
            inserted: self.now,
            started: None,
            ended: None,
            fate: Fate::Well,
            error: None,
            work,
            cause: Cause::Google,
            vanished: false,
        }
    }

    /// Google takes a Spot instance: the notice begins at once.
    pub(crate) fn preempt(&mut self, place: &Place) {
        self.take_away(place, "compute.instances.preempted");
    }

    fn take_away(&mut self, place: &Place, kind: &'static str) {
        use super::instance::State::{Stopping, Suspended, Terminated};
        let Some(instance) = self.instances.get(place) else {
            return;
        };
        if matches!(instance.state, Stopping | Suspended | Terminated) {
            return;
        }
        let (path, target) = (place.path("instances"), instance.id);
        let work = Work::Take(place.clone());
        let operation = self.operation(kind, Some(&place.zone), path, target, work);
        let id = operation.id;
        self.operations.insert(id, operation);
        self.begin(id);
    }

    pub(crate) fn effect(&mut self, cause: Cause, effect: Effect) {
        let what = What::Effect { cause, effect };
        self.ledger.write(self.now, what);
    }

    pub(crate) fn tell(&mut self, turn: Turn, place: &Place) {
        let machine = self.instances[place].machine(self);
        self.teller.tell(turn, machine);
    }

    /// An outside address, the one that has been free for longest.
    pub(crate) fn lease_nat(&mut self) -> Option<IpAddr> {
        self.free.pop_front()
    }

    pub(crate) fn release_nat(&mut self, nat: Option<IpAddr>) {
        let reserved = |nat: &IpAddr| {
            let text = nat.to_string();
            self.addresses
                .iter()
                .any(|(_, wire)| wire["address"] == text.as_str())
        };
        self.free.extend(nat.filter(|nat| !reserved(nat)));
    }
}
