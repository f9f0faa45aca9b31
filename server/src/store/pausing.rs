//! Stopping a workshop and bringing it back: the wish, in one transaction.
//!
//! Nothing of a stopped workshop runs; its disks, seats and learners' stays are kept, and
//! its time goes on.

use chrono::{DateTime, Utc};
use clarateach_domain::{
    ids::WorkshopId,
    workshop::{Desired, Phase},
};
use sea_orm::{ActiveValue::Set, EntityTrait};

use super::{
    Event, Store,
    changing::Begun,
    entity::workshop,
    limits::Refused,
    record,
    requests::RequestKey,
    text::Text,
    workshops::{Answer, alive},
};

/// What is wished of a workshop that stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pause {
    /// Nothing of it shall run.
    Stop,
    /// It shall run again.
    Start,
}

impl Pause {
    fn desired(self) -> Desired {
        match self {
            Self::Stop => Desired::Stopped,
            Self::Start => Desired::Present,
        }
    }

    /// The phase until the workers are as wished, why, and the event's verb.
    fn way(self) -> (Phase, &'static str, &'static str) {
        match self {
            Self::Stop => (Phase::Stopping, "stopping its workers", "workshop.stopped"),
            Self::Start => (
                Phase::Provisioning,
                "starting its workers",
                "workshop.started",
            ),
        }
    }
}

impl Store {
    /// Wishes a workshop stopped, or running again. Asked twice, nothing changes, but what
    /// somebody stopped at its cloud meanwhile is wished up once more; one that failed, is over or is being deleted is refused.
    pub async fn pause_workshop(
        &self,
        actor: &str,
        id: &WorkshopId,
        pause: Pause,
        key: &RequestKey,
        now: DateTime<Utc>,
    ) -> Answer<()> {
        let (txn, row) = match self.begin_change(id, key).await? {
            Begun::Open(txn, row) => (txn, row),
            Begun::Over(answer) => return Ok(answer),
        };
        if let Err(refused) = alive(&row, now) {
            return Ok(Err(refused));
        }
        if row.phase.0 == Phase::Failed {
            return Ok(Err(Refused::Failed));
        }
        // By hand, at its cloud: who did that wanted it before this wish.
        let stopped = pause == Pause::Start && row.phase.0 == Phase::Stopped;
        let half = pause == Pause::Start && row.phase.0 == Phase::Degraded;
        if row.desired.0 != pause.desired() || stopped || half {
            let (mut phase, mut reason, verb) = pause.way();
            if half {
                (phase, reason) = (Phase::Degraded, row.reason.as_str());
            }
            let next = workshop::ActiveModel {
                id: Set(row.id.clone()),
                desired: Set(Text(pause.desired())),
                phase: Set(Text(phase)),
                reason: Set(reason.to_owned()),
                generation: Set(row.generation + 1),
                since: Set(now),
                ..Default::default()
            };
            workshop::Entity::update(next).exec(&*txn).await?;
            let event = Event {
                actor,
                verb,
                object: "",
                reason: "asked to",
                data: "",
            };
            record(&txn, id, event, now).await?;
        }
        self.end_change(txn, id, key, now).await?;
        Ok(Ok(()))
    }
}
