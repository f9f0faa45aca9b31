//! A class in the cloud that rests over night: nothing is paid but its disk, and it comes
//! back with its learners and files, at another address.

use clarateach_proto::workshop::{StartWorkshopRequest, StopWorkshopRequest, WorkshopStatus};

use crate::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_class_that_rests_costs_its_disk_alone_and_comes_back_elsewhere() {
    let sources = ["--control-source", "10.214.255.254/32"];
    let Some(stage) = Stage::with(&sources).await else {
        return;
    };
    let workshop = stage.house.class("Over night", 2).await;
    let before = stage.worker_address(&workshop);
    let learner = stage.house.join(&workshop.code, "ada").await.unwrap();
    let mut terminal = learner.terminal("").await.unwrap();
    // Not synced by anybody: stopping has to.
    assert_eq!(terminal.run("echo mine > kept; cat kept").await, "mine");

    let mut workshops = stage.house.workshops().await;
    let stop = StopWorkshopRequest {
        id: workshop.id.clone(),
        ..Default::default()
    };
    workshops.stop_workshop(stop).await.unwrap();
    let notice = terminal.control("notice").await;
    assert_eq!(notice["kind"], "draining", "{notice}");
    terminal.until_closed().await;
    let stopped = stage
        .house
        .until_status(&workshop.id, WorkshopStatus::Stopped)
        .await;
    // The control plane's own stop is nobody's hand.
    assert!(!stopped.reason.contains("by hand"), "{}", stopped.reason);
    assert_eq!(stage.only_vm().2, "TERMINATED");
    let (zone, name, _) = stage.only_vm();
    let vm = stage.google.instance(&zone, &name).unwrap();
    let nat = &vm["networkInterfaces"][0]["accessConfigs"][0]["natIP"];
    assert!(nat.is_null(), "an address that nobody uses costs: {nat}");
    let resting = stage.google.bill();
    assert_eq!(stage.google.disks(), [(zone.clone(), name.clone())]);

    let start = StartWorkshopRequest {
        id: workshop.id.clone(),
        ..Default::default()
    };
    // Its machine costs nothing while it rests, and its disk goes on.
    assert!(stage.google.bill().machine_seconds <= resting.machine_seconds);
    workshops.start_workshop(start).await.unwrap();
    let again = stage.ready(&workshop.id).await;
    assert_ne!(stage.worker_address(&again), before);
    assert_eq!(stage.google.instance(&zone, &name).unwrap()["id"], vm["id"]);
    let bill = stage.google.bill();
    assert!(bill.disk_gigabyte_seconds > resting.disk_gigabyte_seconds);

    let back = stage.rejoin(&workshop, &learner).await;
    assert_eq!(back.seat(), learner.seat());
    assert!(back.terminal_url.contains(&stage.worker_address(&again)));
    let mut terminal = back.terminal("").await.unwrap();
    assert_eq!(terminal.run("cat kept").await, "mine");
    stage.end(&workshop).await;
}
