//! A plain client that repeats itself gets what it wants through any faults, and
//! the oracle finds nothing: neither in the client nor in the fake.

use std::collections::BTreeMap;

use clarateach_e2e::fake_gce::{
    Config, FakeGce, Fault, Kind,
    oracle::{Wanted, check},
};
use http::Method;
use serde_json::{Value, json};

use crate::{body, instances, seconds, try_ask};

/// Rounds for which an instance may stay neither on nor off.
const PATIENCE: u32 = 20;

fn misfortunes(fake: &FakeGce) {
    for kind in Kind::ALL.iter().copied() {
        for fault in [
            Fault::RateLimit,
            Fault::TooMany,
            Fault::Status(502),
            Fault::Status(503),
        ] {
            fake.fault_odds(kind, fault, 0.03);
        }
        for fault in [Fault::Cut, Fault::Lost, Fault::Truncated, Fault::WrongType] {
            fake.fault_odds(kind, fault, 0.03);
        }
        let late = [
            Fault::Failed("INTERNAL_ERROR".to_owned()),
            Fault::Stuck,
            Fault::Vanished,
        ];
        let few = [Fault::Stockout(None), Fault::Preempted(seconds(7))];
        for fault in late.into_iter().chain(few).filter(|fault| fault.fits(kind)) {
            fake.fault_odds(kind, fault, 0.05);
        }
    }
}

/// One act towards the wish, with an id that is the same while the act is.
async fn step(fake: &FakeGce, name: &str, stay: bool, waited: &mut u32, attempt: &mut u32) {
    let path = instances(&format!("/{name}"));
    let Ok((status, seen)) = try_ask(fake, Method::GET, &path, &Value::Null).await else {
        return;
    };
    let state = seen["status"].as_str();
    let number: u32 = name.rsplit('-').next().unwrap().parse().unwrap();
    let id = format!("{number:08x}-0000-4000-8000-{attempt:012x}");
    let act = match (status, state, stay) {
        (404, _, true) => (
            Method::POST,
            instances(&format!("?requestId={id}")),
            body(name),
        ),
        (200, Some("TERMINATED"), true) => (Method::POST, format!("{path}/start"), Value::Null),
        (200, Some(_), false) => (Method::DELETE, path.clone(), Value::Null),
        (200, Some("RUNNING"), true) => {
            *waited = 0;
            return;
        }
        (200, Some(_), true) => {
            *waited += 1;
            if *waited < PATIENCE {
                return;
            }
            *waited = 0;
            // The operation of the old id may stay RUNNING for ever.
            *attempt += 1;
            (Method::DELETE, path.clone(), Value::Null)
        }
        _ => return,
    };
    let insert = status == 404;
    let asked = try_ask(fake, act.0, &act.1, &act.2).await;
    if let Ok((200, operation)) = asked
        && insert
        && operation["status"] == "DONE"
    {
        // What the id began is over and left nothing: a new attempt.
        *attempt += 1;
    }
}

#[tokio::test]
async fn through_any_faults_there_is_one_instance_a_worker() {
    for seed in 0..12 {
        let fake = FakeGce::start(Config {
            seed,
            ..Config::default()
        })
        .await;
        misfortunes(&fake);
        let mut workers: BTreeMap<String, (u32, u32)> =
            (1..=4).map(|n| (format!("worker-{n}"), (0, 0))).collect();
        for round in 0..160 {
            if round == 100 {
                fake.no_more_faults();
            }
            for (name, (waited, attempt)) in &mut workers {
                let stay = round < 50 || name != "worker-4";
                step(&fake, name, stay, waited, attempt).await;
            }
            fake.advance(seconds(5));
        }
        fake.quiet().await;
        let wanted = Wanted {
            running: ["worker-1", "worker-2", "worker-3"]
                .map(str::to_owned)
                .into(),
            gone: [("worker-4".to_owned(), seconds(50 * 5 + 60))].into(),
            labels: ["app".to_owned(), "installation".to_owned()].into(),
            ..Wanted::default()
        };
        let ledger = fake.ledger();
        let left = fake.instances();
        assert_eq!(check(&ledger, &wanted), Ok(()), "seed {seed}: {left:?}");
        assert!(
            ledger.faults().len() > 20,
            "seed {seed}: {}",
            json!(ledger.faults().len())
        );
    }
}
