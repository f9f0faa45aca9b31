//! Seeded storms in virtual time: whatever goes wrong, whoever stops or deletes a VM,
//! whenever the process dies, there is one VM a worker that is wanted and none that is not.

use std::time::{Duration, Instant};

use clarateach_domain::plan::Ground;
use clarateach_e2e::{
    fake_gce::{Config, FakeGce, Fault, Kind},
    soak::soak,
};
use clarateach_server::provisioner::{Provisioner as _, WorkerSpec};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::task::JoinSet;

use crate::{Stage, worker};

/// Storms in a run of the tests; `CLARATEACH_SOAK_CYCLES` and `CLARATEACH_SOAK_SEED` say others.
const SEEDS: u64 = 500;
/// Rounds in which things go wrong, and in which the second worker is wanted.
const STORM: u32 = 60;
const BOTH: u32 = 40;
/// Rounds after which all must be well: a stuck operation is waited for ten minutes.
const MOST: u32 = 500;
/// Virtual time of a round.
const ROUND: Duration = Duration::from_secs(5);

fn misfortunes(fake: &FakeGce) {
    for kind in Kind::ALL.iter().copied() {
        let at_once = [
            Fault::RateLimit,
            Fault::TooMany,
            Fault::Status(502),
            Fault::Status(503),
            Fault::Cut,
            Fault::Lost,
            Fault::Truncated,
            Fault::WrongType,
        ];
        let late = [
            Fault::Failed("INTERNAL_ERROR".to_owned()),
            Fault::Stuck,
            Fault::Vanished,
            Fault::Stockout(None),
            Fault::Preempted(Duration::from_secs(7)),
        ];
        let of = |faults: &[Fault], odds| {
            for fault in faults.iter().filter(|fault| fault.fits(kind)) {
                fake.fault_odds(kind, fault.clone(), odds);
            }
        };
        of(&at_once, 0.03);
        of(&late, 0.05);
    }
}

/// Google or somebody with `gcloud` comes by.
fn come_by(fake: &FakeGce, chance: &mut StdRng) {
    let running = fake.instances().into_iter();
    let mut running = running.filter(|(_, _, status)| status == "RUNNING");
    let Some((zone, name, _)) = running.next() else {
        return;
    };
    match chance.random_range(0..4) {
        0 => fake.preempt(&zone, &name, Duration::ZERO),
        1 => fake.stop_by_hand(&zone, &name),
        2 => fake.suspend_by_hand(&zone, &name),
        _ => fake.delete_by_hand(&zone, &name),
    }
}

/// One worker, and how it was found last.
struct Kept {
    worker: WorkerSpec,
    waits: u32,
    /// As wanted, when so much had happened: nothing need be looked at until more has, or
    /// until something else is wanted.
    rests: Option<(usize, bool)>,
}

impl Kept {
    fn new(number: u32) -> Self {
        Self {
            worker: worker(number),
            waits: 0,
            rests: None,
        }
    }

    /// What the policy does with one look.
    async fn settle(&mut self, stage: &Stage, wanted: bool) {
        let now = (stage.fake.happened(), wanted);
        if self.rests == Some(now) {
            return;
        }
        self.rests = None;
        let worker = &self.worker;
        let Ok(seen) = stage.gcp.describe(&worker.name).await else {
            return;
        };
        let waiting = matches!(seen.ground, Ground::Making | Ground::Stopping);
        self.waits = if waiting { self.waits + 1 } else { 0 };
        let _tried = match (seen.ground, wanted) {
            (Ground::Up, true) | (Ground::Missing, false) => {
                self.rests = Some(now);
                Ok(())
            }
            // A machine that never comes up is given up after a while.
            (Ground::Making, true) if self.waits > 40 => stage.gcp.delete(&worker.name).await,
            (Ground::Missing | Ground::Broken, true) => stage.gcp.ensure(worker).await,
            (Ground::Stopped, true) => stage.gcp.start(worker).await,
            (Ground::Ending, false) | (_, true) => Ok(()),
            (_, false) => stage.gcp.delete(&worker.name).await,
        };
    }
}

async fn storm(seed: u64) {
    let mut stage = Stage::with(Config {
        seed,
        ..Config::default()
    })
    .await;
    let mut chance = StdRng::seed_from_u64(seed);
    stage.rows.die(Some(StdRng::seed_from_u64(!seed)));
    misfortunes(&stage.fake);
    let mut workers = [Kept::new(1), Kept::new(2)];
    for round in 0..MOST {
        if round == STORM {
            stage.fake.no_more_faults();
            stage.rows.die(None);
            stage.restart().await;
        } else if round < STORM && chance.random_bool(0.15) {
            come_by(&stage.fake, &mut chance);
        }
        for (at, kept) in workers.iter_mut().enumerate() {
            kept.settle(&stage, at == 0 || round < BOTH).await;
        }
        let rest = workers.iter().all(|kept| kept.rests.is_some());
        if round > STORM && rest && !stage.fake.works() {
            break;
        }
        stage.fake.advance(ROUND);
    }
    let grounds = [
        stage.look(&workers[0].worker).await,
        stage.look(&workers[1].worker).await,
    ];
    let grounds = grounds.map(|seen| seen.ground);
    assert_eq!(grounds, [Ground::Up, Ground::Missing], "seed {seed}");
    stage.assert_left(&[&workers[0].worker]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storms_leave_what_is_wanted_and_nothing_else() {
    let (many, first) = soak(SEEDS);
    let began = Instant::now();
    let mut seeds = first..first.saturating_add(many);
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < 4
            && let Some(seed) = seeds.next()
        {
            under_way.spawn(async move {
                let ended = tokio::spawn(storm(seed)).await;
                assert!(ended.is_ok(), "the storm of seed {seed}");
            });
        }
        let Some(ended) = under_way.join_next().await else {
            break;
        };
        ended.unwrap();
    }
    println!("{many} storms from seed {first} in {:?}", began.elapsed());
}
