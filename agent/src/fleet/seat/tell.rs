//! What is known of a seat, told: to its sockets, to the fleet's owner, to the table of doors.

use std::{
    sync::{Arc, PoisonError},
    time::Duration,
};

use chrono::{DateTime, TimeZone as _, Utc};
use clarateach_domain::{microvm::MicroVmState, seat_net};
use clarateach_proto::guest::Health;
use tracing::{info, warn};

use super::{
    super::handle::{Cut, Door},
    Report, Seat,
};

/// Terminals a guest can have; more is not believed.
const MAX_TERMINALS: u32 = 8;
/// How far a guest's clock may be ahead.
const CLOCKS_APART: Duration = Duration::from_mins(1);

impl Seat {
    pub(super) async fn note(&mut self, health: &Health) {
        let (typed, terminals) = believable(health, Utc::now());
        // A guest that started afresh does not know of keys in its earlier life.
        let typed = typed.max(self.vm.last_input_at);
        if (typed, terminals) != (self.vm.last_input_at, self.vm.terminals) {
            self.vm.last_input_at = typed;
            self.vm.terminals = terminals;
            self.tell(None).await;
        }
    }

    pub(super) async fn become_ready(&mut self) {
        self.vm.reason = String::new();
        self.vm.ready_at = Some(Utc::now());
        self.put_state(MicroVmState::Ready);
        self.tell(None).await;
        info!(incarnation = self.vm.incarnation, "seat ready");
    }

    pub(super) async fn fail(&mut self, error: &anyhow::Error) {
        warn!(error = format!("{error:#}"), "seat failed");
        self.vm.reason = format!("{error:#}");
        self.put_state(MicroVmState::Failed);
        self.tell(None).await;
    }

    /// The present machine is no more: its sockets close.
    pub(super) fn end_life(&mut self, state: MicroVmState, cut: Option<Cut>) {
        self.vm.state = state;
        self.vm.terminals = 0;
        self.vm.ready_at = None;
        self.life.send_modify(|life| {
            life.state = state;
            life.made_for = self.spec.epoch;
            life.life += 1;
            // A reset or revocation that was just told stays the reason.
            life.cut = cut.or(life.cut).or(Some(Cut::Restarted));
        });
    }

    pub(super) fn put_state(&mut self, state: MicroVmState) {
        self.vm.state = state;
        self.life.send_modify(|life| {
            life.state = state;
            if state == MicroVmState::Ready {
                life.cut = None;
            }
        });
    }

    pub(super) fn put_epoch(&mut self, epoch: Option<u64>, cut: Option<Cut>) {
        self.vm.epoch = epoch.unwrap_or(0);
        self.life.send_modify(|life| {
            life.epoch = epoch;
            life.cut = cut.or(life.cut);
        });
    }

    /// Puts the seat's door into the table, in which only its own task writes it.
    pub(super) fn open_door(&self, secret: Arc<str>) {
        let door = Door {
            address: seat_net::address(self.spec.slot),
            secret,
            life: self.life.subscribe(),
        };
        self.shared
            .doors
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(self.spec.seat, door);
    }

    pub(super) async fn tell(&self, turn: Option<u64>) {
        let vm = self.vm.clone();
        let _ended = self.shared.reports.send(Report::Changed { vm, turn }).await;
    }
}

/// A moment that a guest names in milliseconds since 1970; none for 0, for what is
/// no time and for the future.
pub(in crate::fleet) fn moment(millis: i64, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    (millis > 0)
        .then(|| Utc.timestamp_millis_opt(millis).single())
        .flatten()
        .filter(|told| *told <= now + CLOCKS_APART)
}

/// What a guest says, as far as it can be true: its learner may be root there,
/// and these numbers go into rows. A key of the future would stick for ever.
fn believable(health: &Health, now: DateTime<Utc>) -> (Option<DateTime<Utc>>, u32) {
    let typed = moment(health.last_input_unix_millis, now);
    (typed, health.terminals.min(MAX_TERMINALS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_cannot_be_true_stay_with_the_guest() {
        let now = Utc.timestamp_millis_opt(1_800_000_000_000).unwrap();
        for (millis, told) in [
            (i64::MIN, None),
            (0, None),
            (now.timestamp_millis(), Some(now)),
            (now.timestamp_millis() + 61_000, None),
            (i64::MAX, None),
        ] {
            let health = Health {
                last_input_unix_millis: millis,
                terminals: u32::MAX,
                ..Health::default()
            };
            assert_eq!(believable(&health, now), (told, MAX_TERMINALS), "{millis}");
        }
    }
}
