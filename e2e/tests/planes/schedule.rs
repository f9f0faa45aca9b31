//! One schedule: what becomes of which control plane, and when.

use std::time::{Duration, Instant};

use clarateach_e2e::{door::Way, wait::tick};
use http::Method;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use rustix::process::Signal;

use crate::stage::{Seen, Stage};

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mishap {
    /// `kill -9`.
    Kill,
    /// It is stopped, and goes on later as if nothing had been.
    Pause,
    /// Its connections to the database end, and it gets no other.
    Partition,
    /// Nothing comes through them any more, and nobody says so.
    Silence,
}

/// While what is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum While {
    Creating,
    Deleting,
}

/// Everything that differs from one schedule to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) mishap: Mishap,
    pub(crate) during: While,
    /// How many events of the workshop are written before it happens, since it was asked
    /// for or wished away.
    pub(crate) after: usize,
    /// To which plane.
    pub(crate) whom: usize,
    /// Which plane was asked.
    pub(crate) asked: usize,
    pub(crate) seats: u32,
}

impl Schedule {
    pub(crate) fn of(seed: u64) -> Self {
        use Mishap::{Kill, Partition, Pause, Silence};
        let mut chance = StdRng::seed_from_u64(seed);
        let during = [While::Creating, While::Creating, While::Deleting];
        let during = *during.choose(&mut chance).unwrap();
        let most = match during {
            While::Creating => 9,
            While::Deleting => 4,
        };
        Self {
            mishap: *[Kill, Pause, Partition, Silence]
                .choose(&mut chance)
                .unwrap(),
            during,
            after: chance.random_range(0..=most),
            whom: chance.random_range(0..=1),
            asked: chance.random_range(0..=1),
            seats: chance.random_range(1..=2),
        }
    }

    /// Tells it; how long the other plane took from the mishap to what was wished.
    pub(crate) async fn tell(self, stage: &mut Stage) -> Duration {
        let mut seen = Seen::new();
        let other = 1 - self.whom;
        let id = stage.create(self.asked, self.seats).await;
        let path = format!("/api/workshops/{id}");
        let took = match self.during {
            While::Creating => {
                stage.until_events(&id, self.after).await;
                self.strike(stage).await;
                let took = Self::watched(stage, &mut seen, other, &id, "running").await;
                self.mend(stage).await;
                stage.until_status(self.whom, &id, "running").await;
                stage.look(&mut seen);
                stage.ask(self.whom, Method::DELETE, &path, "").await;
                stage.until_status(other, &id, "deleted").await;
                took
            }
            While::Deleting => {
                stage.until_status(other, &id, "running").await;
                stage.look(&mut seen);
                let sql = format!("SELECT count(*) FROM events WHERE workshop_id = '{id}'");
                let before: usize = stage.postgres.ask(&stage.database, &sql).parse().unwrap();
                stage.ask(self.asked, Method::DELETE, &path, "").await;
                stage.until_events(&id, before + self.after).await;
                self.strike(stage).await;
                let took = Self::watched(stage, &mut seen, other, &id, "deleted").await;
                self.mend(stage).await;
                stage.until_status(self.whom, &id, "deleted").await;
                took
            }
        };
        self.judge(stage, &seen, &id).await;
        took
    }

    async fn watched(
        stage: &Stage,
        seen: &mut Seen,
        other: usize,
        id: &str,
        status: &str,
    ) -> Duration {
        let began = Instant::now();
        let coming = stage.until_status(other, id, status);
        tokio::pin!(coming);
        loop {
            tokio::select! {
                biased;
                _ = &mut coming => return began.elapsed(),
                () = tick() => stage.look(seen),
            }
        }
    }

    async fn strike(self, stage: &mut Stage) {
        match self.mishap {
            Mishap::Kill => stage.planes[self.whom].kill(),
            Mishap::Pause => stage.pause(self.whom).await,
            Mishap::Partition => stage.doors[self.whom].set(Way::Shut),
            Mishap::Silence => stage.doors[self.whom].set(Way::Mute),
        }
    }

    async fn mend(self, stage: &mut Stage) {
        match self.mishap {
            Mishap::Kill => {
                stage.planes[self.whom].again();
                stage.planes[self.whom].until_serving().await;
            }
            Mishap::Pause => stage.planes[self.whom].signal(Signal::CONT),
            Mishap::Partition | Mishap::Silence => stage.doors[self.whom].set(Way::Open),
        }
    }

    /// One worker, one machine a seat, and nothing left.
    async fn judge(self, stage: &Stage, seen: &Seen, id: &str) {
        let twice = seen.iter().filter(|(_, pids)| pids.len() > 1);
        let twice: Vec<_> = twice.collect();
        assert!(twice.is_empty(), "{self:?}: done twice: {twice:?}");
        assert_eq!(
            seen.len(),
            1 + usize::try_from(self.seats).unwrap(),
            "{self:?}: {seen:?}"
        );
        let ask = |what: &str| {
            let sql = format!("SELECT count(*) FROM {what} WHERE workshop_id = '{id}'");
            stage.postgres.ask(&stage.database, &sql)
        };
        assert_eq!(ask("workers"), "1", "{self:?}: rows of workers");
        assert_eq!(ask("worker_runs"), "1", "{self:?}: intervals that cost");
        let began = Instant::now();
        loop {
            let left = stage.left();
            if left.is_empty() {
                return;
            }
            // Who was asleep may be ending its own last step.
            assert!(
                began.elapsed() < Duration::from_secs(20),
                "{self:?}: {left:#?}"
            );
            tick().await;
        }
    }
}
