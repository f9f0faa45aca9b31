//! Somebody with `gcloud` stops a class's VM, or deletes it: neither is a preemption, and
//! people are told which it was.

use std::time::Duration;

use clarateach_e2e::{fake_gce::Kind, house::patience, wait::until};
use clarateach_proto::workshop::{SeatState, StartWorkshopRequest, WorkshopStatus};

use crate::{Notices, Stage};

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_is_stopped_by_hand_rests_until_its_class_is_started() {
    let Some(mut stage) = Stage::new().await else {
        return;
    };
    let workshop = stage.house.class("Stopped by hand", 1).await;
    let learner = stage.house.join(&workshop.code, "ada").await.unwrap();
    assert_eq!(learner.put("kept.txt", "before").await, 201);
    assert_eq!(learner.run("sync").await.exit_code, Some(0));
    let notices = Notices::of(stage.house.seats().await, &learner).await;
    let (zone, name, _) = stage.only_vm();

    stage.google.stop_by_hand(&zone, &name);
    notices.until("worker 1 was stopped by hand").await;
    let stopped = stage
        .house
        .until_status(&workshop.id, WorkshopStatus::Stopped)
        .await;
    for part in ["stopped by hand", "starting the workshop brings it back"] {
        assert!(stopped.reason.contains(part), "{}", stopped.reason);
    }
    assert!(stopped.workers[0].reason.contains("stopped by hand"));
    assert_eq!(stopped.seat_list[0].state(), SeatState::Stopped);
    let refused = stage.house.join(&workshop.code, "late").await.unwrap_err();
    assert!(refused.message().contains("stopped"), "{refused:?}");

    // Another process comes to the same: it looks, and does not start it.
    stage.house.stop_server().await;
    let looked = || stage.google.ledger().requests(Kind::ListZoneOperations);
    let before = looked();
    stage.house.start_server().await;
    let looked = || stage.google.ledger().requests(Kind::ListZoneOperations);
    until("it to have looked twice", patience(), async || {
        let looks = looked() - before;
        if looks >= 2 { Ok(()) } else { Err(looks) }
    })
    .await;
    assert_eq!(stage.google.ledger().requests(Kind::StartInstance), 0);
    assert_eq!(stage.only_vm().2, "TERMINATED");
    assert_eq!(notices.count("stopped by hand"), 1);

    let start = StartWorkshopRequest {
        id: workshop.id.clone(),
        ..Default::default()
    };
    let mut workshops = stage.house.workshops().await;
    workshops.start_workshop(start).await.unwrap();
    stage.ready(&workshop.id).await;
    let learner = stage.rejoin(&workshop, &learner).await;
    assert_eq!(learner.get("kept.txt").await, (200, "before".into()));
    stage.end(&workshop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vm_that_is_deleted_by_hand_is_made_anew_and_learners_know_what_is_lost() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let workshop = stage.house.class("Deleted by hand", 1).await;
    let learner = stage.house.join(&workshop.code, "ada").await.unwrap();
    assert_eq!(learner.put("lost.txt", "before").await, 201);
    let notices = Notices::of(stage.house.seats().await, &learner).await;
    let (zone, name, _) = stage.only_vm();
    let before = stage.google.instance(&zone, &name).unwrap()["id"].clone();

    stage.google.delete_by_hand(&zone, &name);
    let told = notices.until("was deleted by hand with its disk").await;
    assert!(told.contains("seats (1) start afresh"), "{told}");
    assert!(told.contains("is lost"), "{told}");
    let now = until("another VM to run", patience(), async || {
        let now = stage.ready(&workshop.id).await;
        let vm = stage.google.instance(&zone, &name).unwrap_or_default();
        if vm["id"] == before { Err(vm) } else { Ok(now) }
    })
    .await;
    assert_eq!(now.status(), WorkshopStatus::Running);
    let learner = stage.rejoin(&workshop, &learner).await;
    assert_eq!(learner.get("lost.txt").await.0, 404);
    assert_eq!(notices.count("deleted by hand"), 1);
    stage.end(&workshop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preemption_that_no_agent_told_of_is_known_from_what_google_remembers() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let workshop = stage.house.class("Taken unawares", 1).await;
    let learner = stage.house.join(&workshop.code, "ada").await.unwrap();
    let notices = Notices::of(stage.house.seats().await, &learner).await;
    let (zone, name, _) = stage.only_vm();
    let before = stage.worker_address(&workshop);

    stage.vms.silence(&name);
    stage.google.preempt(&zone, &name, Duration::ZERO);
    notices.until("is taken away by its cloud").await;
    until("it to be back elsewhere", patience(), async || {
        let now = stage.ready(&workshop.id).await;
        let at = now.workers[0].address.clone();
        if at == before { Err(at) } else { Ok(()) }
    })
    .await;
    assert_eq!(notices.count("is taken away by its cloud"), 1);
    stage.end(&workshop).await;
}
