//! What must hold whatever a story did, read from the ledger alone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    kind::Kind,
    ledger::{Cause, Effect, Ledger, Seen, What},
};

/// What should be there at the end, when all is quiet.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Workers that run.
    pub running: BTreeSet<String>,
    /// Workers that are there and are stopped.
    pub stopped: BTreeSet<String>,
    /// Workers of which from this moment on nothing may be made or started.
    pub gone: BTreeMap<String, Duration>,
    /// Label keys that every instance and every disk must have.
    pub labels: BTreeSet<String>,
    /// The label that names the worker; its own name if none.
    pub worker_label: Option<String>,
    /// Disks without an instance and reserved addresses that may be there.
    pub kept: BTreeSet<String>,
    /// Firewall rules that may be there.
    pub firewalls: BTreeSet<String>,
}

/// One thing that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

/// All that is wrong; nothing if all holds.
pub fn check(ledger: &Ledger, wanted: &Wanted) -> Result<(), Vec<Violation>> {
    let mut book = Book {
        wanted,
        asked: BTreeMap::new(),
        instances: BTreeMap::new(),
        live: BTreeSet::new(),
        others: BTreeMap::new(),
        firewalls: BTreeSet::new(),
        wrong: vec![],
    };
    for entry in &ledger.entries {
        match &entry.what {
            What::Request { number, kind, .. } => {
                book.asked.insert(*number, *kind);
            }
            What::Answer { .. } => {}
            What::Effect { cause, effect } => book.take(entry.at, *cause, effect),
        }
    }
    book.close();
    if book.wrong.is_empty() {
        Ok(())
    } else {
        Err(book.wrong)
    }
}

struct Book<'a> {
    wanted: &'a Wanted,
    asked: BTreeMap<u64, Option<Kind>>,
    instances: BTreeMap<u64, Seen>,
    live: BTreeSet<u64>,
    /// Disks and addresses.
    others: BTreeMap<u64, Seen>,
    firewalls: BTreeSet<String>,
    wrong: Vec<Violation>,
}

impl Book<'_> {
    fn is_wrong(&mut self, what: String) {
        self.wrong.push(Violation(what));
    }

    fn worker(&self, seen: &Seen) -> String {
        let label = self.wanted.worker_label.as_ref();
        let label = label.and_then(|label| seen.labels.get(label));
        label.unwrap_or(&seen.name).clone()
    }

    fn take(&mut self, at: Duration, cause: Cause, effect: &Effect) {
        self.check_cause(cause, effect);
        match effect {
            Effect::InstanceMade(seen) => {
                self.check_labels("instance", cause, seen);
                self.check_gone(at, seen);
                self.instances.insert(seen.id, seen.clone());
                self.go_live(at, seen);
            }
            Effect::InstanceRunning(seen) => {
                self.check_gone(at, seen);
                self.go_live(at, seen);
            }
            Effect::InstanceStopped(seen) => {
                self.live.remove(&seen.id);
            }
            Effect::InstanceDeleted(seen) => {
                self.live.remove(&seen.id);
                if self.instances.remove(&seen.id).is_none() {
                    self.is_wrong(format!("instance {} went twice", seen.name));
                }
            }
            Effect::InstanceChanged(seen) => {
                self.check_labels("instance", cause, seen);
                self.instances.insert(seen.id, seen.clone());
            }
            Effect::DiskMade(seen) => {
                self.check_labels("disk", cause, seen);
                self.others.insert(seen.id, seen.clone());
            }
            Effect::AddressMade(seen) => {
                self.others.insert(seen.id, seen.clone());
            }
            Effect::DiskDeleted(seen) | Effect::AddressDeleted(seen) => {
                self.others.remove(&seen.id);
            }
            Effect::FirewallSet(name) => {
                self.firewalls.insert(name.clone());
            }
            Effect::FirewallDeleted(name) => {
                self.firewalls.remove(name);
            }
            Effect::InstanceStopping(_) => {}
        }
    }

    /// Each effect follows a request that can have it; Google only takes.
    fn check_cause(&mut self, cause: Cause, effect: &Effect) {
        use Kind::{
            DeleteAddress, DeleteDisk, DeleteFirewall, DeleteInstance, InsertFirewall,
            InsertInstance, PatchFirewall, ResumeInstance, SetLabels, SetMetadata, StartInstance,
            StopInstance,
        };
        let may: &[Kind] = match effect {
            Effect::InstanceMade(_) | Effect::DiskMade(_) => &[InsertInstance],
            Effect::InstanceRunning(_) => &[InsertInstance, ResumeInstance, StartInstance],
            Effect::InstanceStopping(_) | Effect::InstanceStopped(_) => {
                &[StopInstance, DeleteInstance]
            }
            // An insert that fails at its end takes back what it made.
            Effect::InstanceDeleted(_) => &[DeleteInstance, InsertInstance],
            Effect::DiskDeleted(_) => &[DeleteDisk, DeleteInstance, InsertInstance],
            Effect::InstanceChanged(_) => &[SetLabels, SetMetadata],
            Effect::FirewallSet(_) => &[InsertFirewall, PatchFirewall],
            Effect::FirewallDeleted(_) => &[DeleteFirewall],
            Effect::AddressMade(_) => &[],
            Effect::AddressDeleted(_) => &[DeleteAddress],
        };
        let takes = matches!(
            effect,
            Effect::InstanceStopping(_)
                | Effect::InstanceStopped(_)
                | Effect::InstanceDeleted(_)
                | Effect::DiskDeleted(_)
        );
        let fits = match cause {
            Cause::Story => true,
            Cause::Google => takes,
            Cause::Request(number) => {
                let asked = self.asked.get(&number).copied().flatten();
                asked.is_some_and(|kind| may.contains(&kind))
            }
        };
        if !fits {
            self.is_wrong(format!("no request for it: {effect:?} by {cause:?}"));
        }
    }

    fn check_labels(&mut self, what: &str, cause: Cause, seen: &Seen) {
        let mut keys = self.wanted.labels.iter();
        let missing = keys.find(|key| !seen.labels.contains_key(*key));
        if let Some(key) = missing.filter(|_| cause != Cause::Story) {
            self.is_wrong(format!("{what} {} has no label {key}", seen.name));
        }
    }

    fn check_gone(&mut self, at: Duration, seen: &Seen) {
        let worker = self.worker(seen);
        if self
            .wanted
            .gone
            .get(&worker)
            .is_some_and(|since| at >= *since)
        {
            self.is_wrong(format!("{worker} was deleted and came back at {at:?}"));
        }
    }

    fn go_live(&mut self, at: Duration, seen: &Seen) {
        self.live.insert(seen.id);
        let worker = self.worker(seen);
        let same = |id: &&u64| {
            let other = self.instances.get(*id);
            other.is_some_and(|other| self.worker(other) == worker)
        };
        let count = self.live.iter().filter(same).count();
        if count > 1 {
            self.is_wrong(format!("{count} live instances of {worker} at {at:?}"));
        }
    }

    /// What is there at the end against what is wanted.
    fn close(&mut self) {
        let (mut running, mut stopped) = (BTreeSet::new(), BTreeSet::new());
        for (id, seen) in self.instances.clone() {
            let all = if self.live.contains(&id) {
                &mut running
            } else {
                &mut stopped
            };
            let worker = self.worker(&seen);
            if !all.insert(worker.clone()) {
                self.is_wrong(format!("two instances of {worker} are left"));
            }
        }
        let wanted = self.wanted;
        for (state, found, want) in [
            ("run", &running, &wanted.running),
            ("are stopped", &stopped, &wanted.stopped),
        ] {
            if found != want {
                self.is_wrong(format!("workers that {state}: {found:?}, wanted {want:?}"));
            }
        }
        let names: BTreeSet<_> = self
            .instances
            .values()
            .map(|seen| seen.name.clone())
            .collect();
        for other in self.others.clone().values() {
            let used = other.users.iter().any(|user| names.contains(user));
            if !used && !wanted.kept.contains(&other.name) {
                self.is_wrong(format!("{} in {} is left behind", other.name, other.place));
            }
        }
        let rules: Vec<_> = self
            .firewalls
            .difference(&wanted.firewalls)
            .cloned()
            .collect();
        if !rules.is_empty() {
            self.is_wrong(format!("firewall rules {rules:?} are left behind"));
        }
    }
}
