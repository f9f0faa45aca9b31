//! What operations do, at their beginning and at their end.

use std::time::Duration;

use serde_json::Value;

use super::{
    instance::{Instance, Place, State},
    ledger::{Cause, Effect},
    machines::Turn,
    operation::{Fate, OperationError, Progress, Work},
    world::{Step, World},
};

impl World {
    /// PENDING to RUNNING.
    pub(crate) fn begin(&mut self, id: u64) {
        let now = self.now;
        let Some(operation) = self.operations.get_mut(&id) else {
            return;
        };
        operation.progress = Progress::Running;
        operation.started = Some(now);
        let (work, fate, cause) = (
            operation.work.clone(),
            operation.fate.clone(),
            operation.cause,
        );
        let pace = self.config.pace;
        if matches!(fate, Fate::Fails(_)) {
            self.schedule(pace.other, Step::End(id));
            return;
        }
        let lasts = match &work {
            Work::Insert(place, body) => {
                self.make(id, cause, place, body.clone());
                self.schedule(pace.boot / 3, Step::Stage(id));
                pace.boot
            }
            Work::Start(place) => {
                self.take_in_hand(id, place, State::Provisioning);
                self.schedule(pace.boot / 3, Step::Stage(id));
                pace.boot
            }
            Work::Stop(place) | Work::Suspend(place) => {
                let was = self.take_in_hand(id, place, State::Stopping);
                self.log_stopping(cause, place, was);
                if was == Some(State::Terminated) {
                    pace.other
                } else {
                    pace.shutdown
                }
            }
            Work::Delete(place) => {
                let was = self.take_in_hand(id, place, State::Stopping);
                self.log_stopping(cause, place, was);
                if was == Some(State::Running) {
                    pace.shutdown
                } else {
                    pace.other
                }
            }
            Work::Take(place) => {
                let was = self.take_in_hand(id, place, State::Stopping);
                self.log_stopping(cause, place, was);
                if self.instances.contains_key(place) {
                    self.tell(Turn::Notice, place);
                }
                let notice = self.instances.get(place);
                let notice = notice.and_then(|i| i.scheduled("preemptionNoticeDuration"));
                notice.unwrap_or_default() + pace.preemption
            }
            _ => pace.other,
        };
        if fate == Fate::Well {
            self.schedule(lasts, Step::End(id));
        }
    }

    /// PROVISIONING to STAGING, unless another operation has taken it since.
    pub(crate) fn stage(&mut self, id: u64) {
        let mut all = self.instances.values_mut();
        if let Some(instance) = all.find(|i| i.busy == Some(id)) {
            instance.state = State::Staging;
        }
    }

    /// RUNNING to DONE.
    pub(crate) fn end(&mut self, id: u64) {
        let Some(operation) = self.operations.get_mut(&id) else {
            return;
        };
        let (work, cause) = (operation.work.clone(), operation.cause);
        let error = match operation.fate.clone() {
            Fate::Fails(error) => Some(error),
            _ => self.finish(id, cause, work).err(),
        };
        let now = self.now;
        let operation = self.operations.get_mut(&id).expect("it was there");
        operation.progress = Progress::Done;
        operation.ended = Some(now);
        operation.error = error;
        self.schedule(self.config.pace.memory, Step::Forget(id));
    }

    fn finish(&mut self, id: u64, cause: Cause, work: Work) -> Result<(), OperationError> {
        match work {
            Work::Insert(place, _) => {
                let ran = self.run(id, cause, &place);
                if ran.is_err() {
                    self.remove(cause, &place);
                }
                ran?;
            }
            Work::Start(place) => self.run(id, cause, &place)?,
            Work::Reset(place) => {
                if self
                    .instances
                    .get(&place)
                    .is_some_and(|i| i.state == State::Running)
                {
                    self.tell(Turn::Boot, &place);
                }
            }
            Work::Stop(place) if self.has_in_hand(id, &place) => self.halt(cause, &place),
            Work::Take(place) if self.has_in_hand(id, &place) => {
                self.halt(cause, &place);
                let action = &self.instances[&place].body["scheduling"];
                if action["instanceTerminationAction"] == "DELETE" {
                    self.remove(cause, &place);
                }
            }
            Work::Suspend(place) if self.has_in_hand(id, &place) => {
                self.halt(cause, &place);
                let instance = self.instances.get_mut(&place).expect("it is in hand");
                instance.state = State::Suspended;
            }
            Work::Stop(_) | Work::Suspend(_) | Work::Take(_) | Work::Nothing => {}
            Work::Delete(place) => {
                if self
                    .instances
                    .get(&place)
                    .is_some_and(|i| i.runs_since.is_some())
                {
                    self.halt(cause, &place);
                }
                self.remove(cause, &place);
            }
            Work::Change(place, field, value) => self.change(cause, &place, field, value),
            Work::DeleteDisk(place) => self.remove_disk(cause, &place),
            Work::DeleteAddress(id) => self.remove_address(cause, id),
            Work::SetFirewall(name, rule) => {
                self.firewalls.insert(name.clone(), rule);
                self.effect(cause, Effect::FirewallSet(name));
            }
            Work::DeleteFirewall(name) => {
                if self.firewalls.remove(&name).is_some() {
                    self.effect(cause, Effect::FirewallDeleted(name));
                }
            }
        }
        Ok(())
    }

    /// Marks the instance as this operation's, and says what it was.
    fn take_in_hand(&mut self, id: u64, place: &Place, state: State) -> Option<State> {
        let instance = self.instances.get_mut(place)?;
        instance.busy = Some(id);
        let was = instance.state;
        instance.state = state;
        Some(was)
    }

    fn has_in_hand(&self, id: u64, place: &Place) -> bool {
        self.instances
            .get(place)
            .is_some_and(|i| i.busy == Some(id))
    }

    fn log_stopping(&mut self, cause: Cause, place: &Place, was: Option<State>) {
        if was.is_some_and(|was| {
            !matches!(was, State::Terminated | State::Suspended | State::Stopping)
        }) {
            let seen = self.instances[place].seen();
            self.effect(cause, Effect::InstanceStopping(seen));
        }
    }

    fn make(&mut self, id: u64, cause: Cause, place: &Place, body: Value) {
        let target = self.operations[&id].target_id;
        let instance = Instance {
            id: target,
            place: place.clone(),
            body,
            state: State::Provisioning,
            busy: Some(id),
            nat: None,
            made: self.now,
            runs_since: None,
            ran: Duration::ZERO,
            serial: String::new(),
        };
        self.make_disks(cause, &instance);
        let seen = instance.seen();
        self.instances.insert(place.clone(), instance);
        self.effect(cause, Effect::InstanceMade(seen));
    }

    /// It runs, with an address that it did not have before.
    fn run(&mut self, id: u64, cause: Cause, place: &Place) -> Result<(), OperationError> {
        if !self.has_in_hand(id, place) {
            return Ok(());
        }
        let instance = &self.instances[place];
        let fixed = &instance.body["networkInterfaces"][0]["accessConfigs"][0]["natIP"];
        let fixed = fixed.as_str().and_then(|text| text.parse().ok());
        let wants = instance.wants_nat();
        let nat = if wants {
            fixed.or_else(|| self.lease_nat())
        } else {
            None
        };
        let now = self.now;
        let instance = self.instances.get_mut(place).expect("it was there");
        if wants && nat.is_none() {
            instance.state = State::Terminated;
            instance.busy = None;
            let region = self.config.region_of(&place.zone).unwrap_or_default();
            let most = self.config.addresses.len();
            #[allow(clippy::cast_precision_loss, reason = "a handful of addresses")]
            return Err(OperationError::quota(
                "IN_USE_ADDRESSES",
                region,
                most as f64,
            ));
        }
        instance.state = State::Running;
        instance.busy = None;
        instance.nat = nat;
        instance.runs_since = Some(now);
        let (run_over, own, seen) = (
            instance.scheduled("maxRunDuration"),
            instance.id,
            instance.seen(),
        );
        self.effect(cause, Effect::InstanceRunning(seen));
        self.tell(Turn::Boot, place);
        if let Some(after) = run_over {
            self.schedule(after, Step::RunOver(place.clone(), own, now));
        }
        Ok(())
    }

    /// It stops, and gives its address back.
    fn halt(&mut self, cause: Cause, place: &Place) {
        let now = self.now;
        let instance = self.instances.get_mut(place).expect("it is in hand");
        instance.state = State::Terminated;
        instance.busy = None;
        instance.ran += instance
            .runs_since
            .take()
            .map_or(Duration::ZERO, |since| now.saturating_sub(since));
        let nat = instance.nat.take();
        let seen = instance.seen();
        self.release_nat(nat);
        self.effect(cause, Effect::InstanceStopped(seen));
        self.tell(Turn::Stop, place);
    }

    fn remove(&mut self, cause: Cause, place: &Place) {
        if !self.instances.contains_key(place) {
            return;
        }
        self.tell(Turn::Delete, place);
        let instance = self.instances.remove(place).expect("it was there");
        self.machine_cost += instance.ran.as_secs_f64();
        self.leave_disks(cause, place);
        self.effect(cause, Effect::InstanceDeleted(instance.seen()));
    }

    fn change(&mut self, cause: Cause, place: &Place, field: &str, value: Value) {
        if let Some(instance) = self.instances.get_mut(place) {
            instance.body[field] = value;
            let seen = instance.seen();
            self.effect(cause, Effect::InstanceChanged(seen));
        }
    }
}
