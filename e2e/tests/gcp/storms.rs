//! Seeded storms in virtual time: whatever goes wrong, whenever the process dies,
//! there is one VM a worker that is wanted and none that is not.

use std::time::Duration;

use clarateach_domain::plan::Ground;
use clarateach_e2e::fake_gce::{Config, FakeGce, Fault, Kind};
use clarateach_server::provisioner::{Provisioner as _, WorkerSpec};

use crate::{Stage, worker};

/// How many storms; one that fails is named. A storm takes some seconds.
const SEEDS: u64 = 20;

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

/// What the policy does with one look.
async fn settle(stage: &Stage, worker: &WorkerSpec, wanted: bool, waits: &mut u32) {
    let Ok(seen) = stage.gcp.describe(&worker.name).await else {
        return;
    };
    let waiting = matches!(seen.ground, Ground::Making | Ground::Stopping);
    *waits = if waiting { *waits + 1 } else { 0 };
    let _tried = match (seen.ground, wanted) {
        // A machine that never comes up is given up after a while.
        (Ground::Making, true) if *waits > 40 => stage.gcp.delete(&worker.name).await,
        (Ground::Missing | Ground::Broken, true) => stage.gcp.ensure(worker).await,
        (Ground::Stopped, true) => stage.gcp.start(worker).await,
        (Ground::Missing | Ground::Ending, false) | (_, true) => Ok(()),
        (_, false) => stage.gcp.delete(&worker.name).await,
    };
}

#[tokio::test]
async fn storms_leave_what_is_wanted_and_nothing_else() {
    for seed in 0..SEEDS {
        let mut stage = Stage::with(Config {
            seed,
            ..Config::default()
        })
        .await;
        misfortunes(&stage.fake);
        let workers = [worker(1), worker(2)];
        let mut waits = [0; 2];
        for round in 0..500 {
            if round == 80 {
                stage.fake.no_more_faults();
            }
            if round % 7 == 3 {
                stage.restart().await;
            }
            for (at, worker) in workers.iter().enumerate() {
                let wanted = at == 0 || round < 40;
                settle(&stage, worker, wanted, &mut waits[at]).await;
            }
            stage.fake.advance(Duration::from_secs(5));
        }
        let grounds = [stage.look(&workers[0]).await, stage.look(&workers[1]).await];
        let grounds = grounds.map(|seen| seen.ground);
        assert_eq!(grounds, [Ground::Up, Ground::Missing], "seed {seed}");
        stage.assert_left(&[&workers[0]]).await;
    }
}
