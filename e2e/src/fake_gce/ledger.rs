//! Everything that was asked and everything that came of it, in order.

use std::{collections::BTreeMap, net::IpAddr, time::Duration};

use serde_json::Value;

use super::{faults::Fault, kind::Kind};

/// All of it.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// In the order in which it happened.
    pub entries: Vec<Entry>,
}

/// One line.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// In virtual time since the fake began.
    pub at: Duration,
    /// What happened.
    pub what: What,
}

/// A request, its answer, or an effect.
#[derive(Debug, Clone, PartialEq)]
pub enum What {
    /// Somebody asked.
    Request {
        /// Counted from 1.
        number: u64,
        /// The method, if there is one at that path.
        kind: Option<Kind>,
        /// HTTP method, path and query.
        line: String,
        /// The body, if it was JSON.
        body: Option<Value>,
    },
    /// What was answered, or would have been had the answer not been lost.
    Answer {
        /// Of the request.
        number: u64,
        /// HTTP status; 0 of a request that was neither looked at nor answered.
        status: u16,
        /// `error.errors[0].reason` of a refusal.
        reason: Option<&'static str>,
        /// What was made to go wrong.
        fault: Option<Fault>,
    },
    /// Something changed.
    Effect {
        /// Through whom.
        cause: Cause,
        /// What.
        effect: Effect,
    },
}

/// Who brought an effect about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// The request of this number.
    Request(u64),
    /// Google: preemption, the end of a run.
    Google,
    /// The story, which put it there before.
    Story,
}

/// A change of what exists.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// An instance exists, and costs.
    InstanceMade(Seen),
    /// It runs.
    InstanceRunning(Seen),
    /// It is being stopped.
    InstanceStopping(Seen),
    /// It stopped.
    InstanceStopped(Seen),
    /// It is gone.
    InstanceDeleted(Seen),
    /// Its labels or its metadata are others.
    InstanceChanged(Seen),
    /// A disk exists, and costs.
    DiskMade(Seen),
    /// It is gone.
    DiskDeleted(Seen),
    /// An address is reserved, and costs.
    AddressMade(Seen),
    /// It is given back.
    AddressDeleted(Seen),
    /// A rule is there as given.
    FirewallSet(String),
    /// It is gone.
    FirewallDeleted(String),
}

/// One thing as it was then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Zone, or region of an address.
    pub place: String,
    /// Name.
    pub name: String,
    /// Id, never used twice.
    pub id: u64,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The outside address, while there is one.
    pub nat: Option<IpAddr>,
    /// Instances that use a disk.
    pub users: Vec<String>,
}

impl Ledger {
    pub(crate) fn write(&mut self, at: Duration, what: What) {
        self.entries.push(Entry { at, what });
    }

    /// Requests of this kind.
    pub fn requests(&self, wanted: Kind) -> usize {
        let is = |e: &&Entry| matches!(e.what, What::Request { kind: Some(k), .. } if k == wanted);
        self.entries.iter().filter(is).count()
    }

    /// Effects, in order.
    pub fn effects(&self) -> impl Iterator<Item = (Duration, Cause, &Effect)> {
        self.entries.iter().filter_map(|entry| match &entry.what {
            What::Effect { cause, effect } => Some((entry.at, *cause, effect)),
            _ => None,
        })
    }

    /// The faults that happened, in order, with the kind of request.
    pub fn faults(&self) -> Vec<(Kind, Fault)> {
        let kinds: BTreeMap<u64, Kind> = self
            .entries
            .iter()
            .filter_map(|entry| match entry.what {
                What::Request {
                    number,
                    kind: Some(kind),
                    ..
                } => Some((number, kind)),
                _ => None,
            })
            .collect();
        let of = |entry: &Entry| match &entry.what {
            What::Answer {
                number,
                fault: Some(fault),
                ..
            } => Some((kinds[number], fault.clone())),
            _ => None,
        };
        self.entries.iter().filter_map(of).collect()
    }
}
