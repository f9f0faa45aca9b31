//! A class that is larger than one VM: several are made at the same time, seats are spread over
//! them, and learners never see it.

use std::collections::{BTreeMap, BTreeSet};

use clarateach_e2e::fake_gce::{Effect, Kind, What};

use crate::Stage;

const SEATS: usize = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_class_of_several_vms_is_one_class_to_its_learners() {
    let Some(stage) = Stage::with(&["--seats-per-worker", "2"]).await else {
        return;
    };
    let seats = u32::try_from(SEATS).unwrap();
    let workshop = stage.house.class("Larger than one", seats).await;
    let workshop = stage.ready(&workshop.id).await;
    assert_eq!(workshop.workers.len(), 3);
    assert_eq!(stage.google.instances().len(), 3);

    // All were asked for before any of them ran.
    let ledger = stage.google.ledger();
    let before = ledger.entries.iter().take_while(|entry| {
        !matches!(
            &entry.what,
            What::Effect {
                effect: Effect::InstanceRunning(_),
                ..
            }
        )
    });
    let asked = before.filter(|entry| {
        matches!(
            entry.what,
            What::Request {
                kind: Some(Kind::InsertInstance),
                ..
            }
        )
    });
    assert_eq!(asked.count(), 3, "VMs asked for before the first ran");

    // In order: two, two and one.
    let mut on = BTreeMap::<_, Vec<_>>::new();
    for seat in &workshop.seat_list {
        on.entry(seat.worker.clone()).or_default().push(seat.seat);
    }
    let mut spread: Vec<_> = on.into_values().collect();
    spread.sort();
    assert_eq!(spread, [vec![1, 2], vec![3, 4], vec![5]]);

    // Learners get numbers, and machines of their own; where those are is no concern of theirs.
    let (mut numbers, mut addresses) = (BTreeSet::new(), BTreeSet::new());
    for name in ["ada", "bob", "cem", "dan", "eve"] {
        let learner = stage.house.join(&workshop.code, name).await.unwrap();
        let mut terminal = learner.terminal("").await.unwrap();
        let said = terminal.run("hostname").await;
        assert_eq!(said, format!("seat-{}", learner.seat()));
        assert_eq!(learner.put("mine.txt", name).await, 201);
        // The control plane is one door to all of them.
        let mut through = learner.gateway_terminal("?terminal=again").await.unwrap();
        assert_eq!(through.run("cat mine.txt").await, name);
        numbers.insert(learner.seat());
        let url: http::Uri = learner.terminal_url.parse().unwrap();
        addresses.insert(url.host().unwrap().to_owned());
    }
    assert_eq!(numbers, (1..=seats).collect());
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    let full = stage.house.join(&workshop.code, "late").await.unwrap_err();
    assert_eq!(full.code(), tonic::Code::ResourceExhausted, "{full:?}");
    stage.end(&workshop).await;
}
