//! A class on a spot VM: made, taken away by Google, back with its files, gone.

use std::time::{Duration, Instant};

use clarateach_e2e::{
    house::{patience, runtime},
    learner::Learner,
    soak::soak,
    wait::until,
};
use clarateach_proto::workshop::{Runtime, Workshop};
use futures_util::future::join_all;

use crate::{Stage, strays};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_dies_between_signing_and_handing_over_enrols_again() {
    let Some(mut stage) = Stage::new().await else {
        return;
    };
    stage.house.stop_server().await;
    stage.house.spawn_server(&["--crash-at", "enrol:signed"]);
    stage.house.until_serving().await;
    let workshop = stage.house.create("Cut short", 1).await;
    stage.house.until_server_ended().await;
    stage.house.start_server().await;
    stage.ready(&workshop.id).await;
    assert_eq!(stage.only_vm().2, "RUNNING");
    stage.end(&workshop).await;
}

/// Learners of the class: fewer where each of them is a `MicroVM` in an emulated machine.
fn learners() -> u32 {
    match runtime() {
        Runtime::Firecracker => 2,
        Runtime::Container | Runtime::Unspecified => 10,
    }
}

/// `scripts/soak.sh preemptions` has the same class preempted again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_class_on_a_spot_vm_survives_its_preemption_and_leaves_nothing() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let workshop = stage.house.class("In the cloud", learners()).await;
    let workshop = stage.ready(&workshop.id).await;
    let (zone, _, status) = stage.only_vm();
    assert_eq!(
        (zone.as_str(), status.as_str()),
        ("us-central1-a", "RUNNING")
    );
    let mut class = Vec::new();
    for number in 0..learners() {
        let name = format!("learner {number}");
        class.push(stage.house.join(&workshop.code, &name).await.unwrap());
    }
    let (many, first) = soak(1);
    let (mut told, mut away) = (Duration::ZERO, Duration::ZERO);
    for cycle in 0..many {
        let taken = Taken::from(&stage, &workshop, &mut class, first + cycle).await;
        println!(
            "preemption {cycle}: the last of {} was told {:.2?} later, all back {:.1?} later; the \
             address that was lost was dialled {} times before and {} times after it was known",
            class.len(),
            taken.told,
            taken.away,
            taken.dialled[0],
            taken.dialled[1]
        );
        assert_eq!(taken.dialled[1], 0, "requests to an address of before");
        (told, away) = (told.max(taken.told), away.max(taken.away));
    }
    println!("{many} preemptions: told within {told:.2?}, back within {away:.1?}");
    stage.end(&workshop).await;
}

/// What one preemption was like.
struct Taken {
    /// Until the last learner was told.
    told: Duration,
    /// Until all was back.
    away: Duration,
    /// Connections begun to the address that the VM had: until the control plane knew the
    /// next one, and from then on.
    dialled: [u64; 2],
}

impl Taken {
    /// Google takes the VM away: learners are told, and files and seats come back with it.
    async fn from(stage: &Stage, workshop: &Workshop, class: &mut [Learner], mark: u64) -> Self {
        let before = stage.worker_address(&stage.house.workshop(&workshop.id).await);
        let mut terminals = Vec::new();
        for learner in class.iter() {
            assert!(learner.terminal_url.contains(&before), "{before}");
            let mut terminal = learner.terminal("").await.unwrap();
            let mine = format!("{mark} {}", learner.seat());
            let line = format!("echo {mine} > kept; cat kept");
            assert_eq!(terminal.run(&line).await, mine);
            terminals.push(terminal);
        }
        let strays = strays::to(&before);
        let (zone, name, _) = stage.only_vm();
        let began = Instant::now();
        stage.google.preempt(&zone, &name, Duration::ZERO);
        join_all(terminals.iter_mut().map(async |terminal| {
            let notice = terminal.control("notice").await;
            assert_eq!(notice["kind"], "preempted", "{notice}");
        }))
        .await;
        let told = began.elapsed();
        until("whoever watches to be told", patience(), async || {
            let now = stage.house.workshop(&workshop.id).await;
            let reason = now.workers[0].reason.clone();
            let told = reason.contains("taken away");
            told.then_some(()).ok_or(reason)
        })
        .await;
        let now = until("it to be back elsewhere", patience(), async || {
            let now = stage.ready(&workshop.id).await;
            let at = now.workers[0].address.clone();
            if at == before { Err(at) } else { Ok(now) }
        })
        .await;
        let away = began.elapsed();
        let first = strays.count();
        let after = stage.worker_address(&now);
        for learner in class.iter_mut() {
            let mine = format!("{mark} {}", learner.seat());
            *learner = stage.refresh(learner).await;
            for url in [&learner.terminal_url, &learner.files_url, &learner.exec_url] {
                assert!(url.contains(&after), "{url}");
            }
            assert_eq!(learner.get("kept").await, (200, format!("{mine}\n").into()));
            let mut terminal = learner.terminal("?terminal=again").await.unwrap();
            assert_eq!(terminal.run("cat kept").await, mine);
        }
        let dialled = [first, strays.count() - first];
        Self {
            told,
            away,
            dialled,
        }
    }
}
