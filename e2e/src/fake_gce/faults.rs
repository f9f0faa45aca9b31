//! What goes wrong, and when: single faults in a queue, and odds by a seed.
//!
//! Each kind of request draws from numbers of its own, one a request, so that the
//! same seed gives the n-th insert the same fate whatever else is asked beside it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use rand::{Rng as _, SeedableRng as _, rngs::StdRng};

use super::kind::Kind;

/// One thing that goes wrong.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// 403 `rateLimitExceeded`, nothing done.
    RateLimit,
    /// 403 `quotaExceeded` for this metric, nothing done.
    Quota(String),
    /// 429, nothing done.
    TooMany,
    /// 500, 502 (a page of HTML, as Google's front end sends) or 503, nothing done.
    Status(u16),
    /// Nothing done, and no answer until the client gives up.
    Hang,
    /// Done, and no answer until the client gives up.
    HangAfter,
    /// Nothing done, and the connection cut.
    Cut,
    /// Done, and the connection cut: the answer is lost.
    Lost,
    /// Done, and half of the JSON.
    Truncated,
    /// Done, and a page of HTML with status 200.
    WrongType,
    /// The operation ends for want of machines: with these zones as a hint, or
    /// with the code that has none.
    Stockout(Option<Vec<String>>),
    /// The operation ends with `QUOTA_EXCEEDED` for this metric.
    OperationQuota(String),
    /// The operation ends with this code, nothing done.
    Failed(String),
    /// The operation begins and stays RUNNING.
    Stuck,
    /// The operation takes its course, and nobody finds it any more.
    Vanished,
    /// Done, and so much later Google takes the instance, whatever its state is.
    Preempted(Duration),
    /// The list leaves this zone out, with a warning.
    Partial(String),
}

impl Fault {
    /// Whether it can happen to a request of this kind.
    pub fn fits(&self, kind: Kind) -> bool {
        match self {
            Self::Stockout(_) => {
                matches!(
                    kind,
                    Kind::InsertInstance | Kind::StartInstance | Kind::ResumeInstance
                )
            }
            Self::OperationQuota(_) | Self::Failed(_) | Self::Stuck | Self::Vanished => {
                kind.begins_operation()
            }
            Self::Preempted(_) => {
                matches!(
                    kind,
                    Kind::InsertInstance | Kind::StartInstance | Kind::ResumeInstance
                )
            }
            Self::Partial(_) => kind.lists(),
            Self::Status(code) => matches!(code, 500 | 502 | 503),
            _ => true,
        }
    }

    /// Whether the request is not even looked at.
    pub(crate) fn is_before(&self) -> bool {
        matches!(
            self,
            Self::RateLimit
                | Self::Quota(_)
                | Self::TooMany
                | Self::Status(_)
                | Self::Hang
                | Self::Cut
        )
    }
}

/// The script of one fake.
#[derive(Debug)]
pub(crate) struct Faults {
    seed: u64,
    odds: BTreeMap<Kind, Vec<(f64, Fault)>>,
    queue: BTreeMap<Kind, VecDeque<Fault>>,
    numbers: BTreeMap<Kind, StdRng>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            odds: BTreeMap::new(),
            queue: BTreeMap::new(),
            numbers: BTreeMap::new(),
        }
    }

    pub(crate) fn next(&mut self, kind: Kind, fault: Fault) {
        assert!(fault.fits(kind), "{fault:?} cannot happen to {kind:?}");
        self.queue.entry(kind).or_default().push_back(fault);
    }

    pub(crate) fn odds(&mut self, kind: Kind, fault: Fault, odds: f64) {
        assert!(fault.fits(kind), "{fault:?} cannot happen to {kind:?}");
        let all = self.odds.entry(kind).or_default();
        all.push((odds, fault));
        let sum: f64 = all.iter().map(|(odds, _)| odds).sum();
        assert!(sum <= 1.0, "odds of {kind:?} sum to {sum}");
    }

    pub(crate) fn none(&mut self) {
        self.odds.clear();
        self.queue.clear();
    }

    /// What happens to this request.
    pub(crate) fn draw(&mut self, kind: Kind) -> Option<Fault> {
        let own = self.seed ^ (kind as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let numbers = self.numbers.entry(kind);
        let numbers = numbers.or_insert_with(|| StdRng::seed_from_u64(own));
        let mut drawn: f64 = numbers.random();
        if let Some(fault) = self.queue.get_mut(&kind).and_then(VecDeque::pop_front) {
            return Some(fault);
        }
        for (odds, fault) in self.odds.get(&kind)? {
            if drawn < *odds {
                return Some(fault.clone());
            }
            drawn -= odds;
        }
        None
    }
}
