//! What is noted of a worker's VM before anything is asked of Google: where it
//! is to be, and under which request. A server that was killed goes on from it.

use chrono::{DateTime, Utc};
use clarateach_domain::ids::WorkerName;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{settings::GcpSettings, trouble::Trouble};

/// Names of requests are made under this one.
const SPACE: Uuid = Uuid::from_u128(0x3d6c_1f0a_52b7_4e41_9a86_c1a2_7ea0_0001);

/// The note, as it lies in the worker's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Note {
    /// The zone of the VM.
    pub(super) zone: String,
    /// Grows with every VM that is asked for anew: its requests have other names.
    pub(super) round: u32,
    /// What is under way.
    pub(super) act: Option<Act>,
    /// Rounds that ended for want of room.
    pub(super) refusals: u32,
    /// Starts of this round's VM that were refused for want of room, in all.
    #[serde(default)]
    pub(super) start_refusals: u32,
    /// Since when its name is taken in its zone by a VM that nobody can see.
    #[serde(default)]
    pub(super) blocked: Option<DateTime<Utc>>,
    /// The last requests to stop or delete a VM of this name: whatever else did that was
    /// somebody's hand.
    #[serde(default)]
    pub(super) ours: Vec<String>,
    /// Google refused a VM that was to be told of its end earlier: it is asked for without.
    #[serde(default)]
    pub(super) no_notice: bool,
}

/// Requests that are remembered as the control plane's own: of a stop or delete that is
/// asked for again and again, one of the last did it.
const REMEMBERED: usize = 8;

/// One act, noted before it is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Act {
    pub(super) verb: Verb,
    /// Since when.
    pub(super) since: DateTime<Utc>,
    /// Google's name for it; empty until its answer was noted.
    #[serde(default)]
    pub(super) operation: String,
}

/// What is asked of Google.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verb {
    Insert,
    Start,
    Stop,
    Delete,
}

impl Verb {
    /// As a test names the points around it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Insert => "vm.insert",
            Self::Start => "vm.start",
            Self::Stop => "vm.stop",
            Self::Delete => "vm.delete",
        }
    }
}

impl Note {
    /// Of a worker for which nothing was asked yet.
    pub(super) fn first(zone: &str) -> Self {
        Self {
            zone: zone.to_owned(),
            round: 1,
            act: None,
            refusals: 0,
            start_refusals: 0,
            blocked: None,
            ours: vec![],
            no_notice: false,
        }
    }

    /// The act under way, if it is this one.
    pub(super) fn doing(&self, verb: Verb) -> Option<&Act> {
        self.act.as_ref().filter(|act| act.verb == verb)
    }

    /// Takes `act` up: it is what is under way from now on.
    pub(super) fn take(&mut self, worker: &WorkerName, act: Act) {
        if matches!(act.verb, Verb::Stop | Verb::Delete) {
            self.ours.push(self.request_id(worker, &act));
            let over = self.ours.len().saturating_sub(REMEMBERED);
            self.ours.drain(..over);
        }
        self.act = Some(act);
    }

    /// Goes on in another zone: one of the hinted ones that are `allowed` first,
    /// else the next allowed one.
    pub(super) fn elsewhere(&mut self, allowed: &[String], hints: &[String]) {
        let at = allowed.iter().position(|zone| *zone == self.zone);
        let next = at.map_or(0, |at| (at + 1) % allowed.len().max(1));
        let hinted = hints
            .iter()
            .find(|zone| allowed.contains(zone) && **zone != self.zone);
        if let Some(zone) = hinted.or(allowed.get(next)) {
            self.zone.clone_from(zone);
        }
        self.refusals += 1;
        self.blocked = None;
        self.anew();
    }

    /// Another VM: nothing of the last one is under way.
    pub(super) fn anew(&mut self) {
        self.round += 1;
        self.start_refusals = 0;
        self.act = None;
    }

    /// Whether the same VM is to be asked for without time between notice and end, and
    /// another round for it: `trouble` is about that, which a project may not have. Once.
    pub(super) fn gives_notice_up(
        &mut self,
        settings: &GcpSettings,
        spot: bool,
        trouble: &Trouble,
    ) -> bool {
        let asked = spot && !self.no_notice && !settings.preemption_notice.is_zero();
        let about = asked && trouble.is_of_request() && trouble.names("preemptionNoticeDuration");
        if about {
            self.no_notice = true;
            self.anew();
        }
        about
    }

    /// The same for the same act, however often it is asked for: Google does what
    /// it was asked under one name once.
    pub(super) fn request_id(&self, worker: &WorkerName, act: &Act) -> String {
        let since = act.since.timestamp_millis();
        let what = match act.verb {
            // One VM a round.
            Verb::Insert => format!("{worker}/{}/insert", self.round),
            Verb::Start => format!("{worker}/{}/start/{since}", self.round),
            Verb::Stop => format!("{worker}/{}/stop/{since}", self.round),
            Verb::Delete => format!("{worker}/{}/delete/{since}", self.round),
        };
        Uuid::new_v5(&SPACE, what.as_bytes()).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provisioner::gcp::trouble::{Class, WRONG};

    fn zones() -> Vec<String> {
        ["a-b-a", "a-b-b", "a-b-c"].map(str::to_owned).to_vec()
    }

    #[test]
    fn hinted_zones_come_first_and_then_the_next() {
        for (from, hints, to) in [
            ("a-b-a", &[][..], "a-b-b"),
            ("a-b-c", &[], "a-b-a"),
            ("a-b-a", &["a-b-c"], "a-b-c"),
            ("a-b-a", &["a-b-a", "z-z-z"], "a-b-b"),
            ("gone", &[], "a-b-a"),
        ] {
            let mut note = Note::first(from);
            let hints: Vec<_> = hints.iter().map(ToString::to_string).collect();
            note.elsewhere(&zones(), &hints);
            assert_eq!(
                (note.zone.as_str(), note.round),
                (to, 2),
                "{from} {hints:?}"
            );
        }
    }

    #[test]
    fn the_last_stops_and_deletes_are_known_as_our_own() {
        let worker: WorkerName = "ws-0123456789-w1".parse().unwrap();
        let mut note = Note::first("a-b-a");
        for second in 0..20 {
            let since = DateTime::from_timestamp(second, 0).unwrap();
            for verb in [Verb::Start, Verb::Stop] {
                let operation = String::new();
                let act = Act {
                    verb,
                    since,
                    operation,
                };
                note.take(&worker, act);
            }
        }
        let last = note.act.clone().unwrap();
        assert_eq!(note.ours.len(), REMEMBERED);
        assert_eq!(note.ours.last(), Some(&note.request_id(&worker, &last)));
    }

    #[test]
    fn notice_is_given_up_once_and_only_where_google_names_it() {
        let settings = crate::provisioner::gcp::settings::tests::settings();
        let refused = |message: &str| Trouble {
            class: Class::Permanent(WRONG),
            code: "invalid".to_owned(),
            message: message.to_owned(),
            zones: vec![],
        };
        let about = refused("Invalid value for field 'preemptionNoticeDuration'.");
        for (spot, trouble, wanted) in [
            (
                true,
                &refused("Invalid value for field 'minCpuPlatform'."),
                false,
            ),
            (false, &about, false),
            (true, &about, true),
        ] {
            let mut note = Note::first("a-b-a");
            assert_eq!(note.gives_notice_up(&settings, spot, trouble), wanted);
            assert_eq!(
                (note.no_notice, note.round),
                (wanted, 1 + u32::from(wanted))
            );
            assert!(!note.gives_notice_up(&settings, spot, trouble), "once");
        }
    }

    #[test]
    fn a_request_keeps_its_name_until_another_vm_is_asked_for() {
        let worker: WorkerName = "ws-0123456789-w1".parse().unwrap();
        let act = |verb, at: i64| Act {
            verb,
            since: DateTime::from_timestamp(at, 0).unwrap(),
            operation: String::new(),
        };
        let mut note = Note::first("a-b-a");
        let first = note.request_id(&worker, &act(Verb::Insert, 1));
        assert_eq!(note.request_id(&worker, &act(Verb::Insert, 9)), first);
        let stops = [1, 9].map(|at| note.request_id(&worker, &act(Verb::Stop, at)));
        assert_ne!(stops[0], stops[1]);
        note.anew();
        assert_ne!(note.request_id(&worker, &act(Verb::Insert, 1)), first);
    }
}
