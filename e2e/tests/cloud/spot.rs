//! A class on a spot VM: made, taken away by Google, back with its files, gone.

use std::{io::Read as _, process::Stdio, time::Duration};

use clarateach_e2e::{house::patience, person::Person, screen::Screen, wait::until};

use crate::Stage;

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

#[tokio::test(flavor = "multi_thread")]
async fn a_class_on_a_spot_vm_survives_its_preemption_and_leaves_nothing() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let workshop = stage.house.class("In the cloud", 2).await;
    let workshop = stage.ready(&workshop.id).await;
    let (zone, name, status) = stage.only_vm();
    assert_eq!(
        (zone.as_str(), status.as_str()),
        ("us-central1-a", "RUNNING")
    );
    let before = stage.worker_address(&workshop);

    let learner = stage.house.join(&workshop.code, "ada").await.unwrap();
    assert!(
        learner.terminal_url.contains(&before),
        "{}",
        learner.terminal_url
    );
    let mut terminal = learner.terminal("").await.unwrap();
    assert_eq!(terminal.run("hostname").await, "seat-1");
    assert_eq!(learner.put("kept.txt", "before").await, 201);

    // Google takes the VM away: learners are told, and their files come back with it.
    stage.google.preempt(&zone, &name, Duration::ZERO);
    let notice = terminal.control("notice").await;
    assert_eq!(notice["kind"], "preempted", "{notice}");
    until("whoever watches to be told", patience(), async || {
        let now = stage.house.workshop(&workshop.id).await;
        let reason = now.workers[0].reason.clone();
        let told = reason.contains("taken away");
        told.then_some(()).ok_or(reason)
    })
    .await;
    let workshop = until("it to be back elsewhere", patience(), async || {
        let now = stage.ready(&workshop.id).await;
        let at = now.workers[0].address.clone();
        if at == before { Err(at) } else { Ok(now) }
    })
    .await;
    let after = stage.worker_address(&workshop);
    let learner = stage.refresh(&learner).await;
    assert!(
        learner.terminal_url.contains(&after),
        "{}",
        learner.terminal_url
    );
    assert_eq!(learner.get("kept.txt").await, (200, "before".into()));
    let mut terminal = learner.terminal("?terminal=again").await.unwrap();
    assert_eq!(terminal.run("cat kept.txt").await, "before");

    stage.end(&workshop).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "attach was not seen to come back within 65 s of the seat: docs/next.md, issue E"]
async fn a_preemption_delays_a_download_and_a_terminal_of_the_command_line() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let workshop = stage.house.class("Delayed", 1).await;
    let workshop = stage.ready(&workshop.id).await;
    let (zone, name, _) = stage.only_vm();
    let bob = Person::new();
    bob.join(&stage.house, &workshop.code, "Bob");
    let big: Vec<u8> = (0..4_000_000_u32).flat_map(u32::to_le_bytes).collect();
    bob.run_with(&["files", "put", "-", "big"], &big).good();
    let mut screen = Screen::start(&bob, &["attach"]);
    screen.keys("echo he''re\r").await;
    screen.until("here\r\n").await;
    // Nobody reads on: the rest is still there when the machine goes.
    let mut getting = bob
        .command(&["files", "get", "big", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = getting.stdout.take().unwrap();
    let mut got = vec![0; 1000];
    out.read_exact(&mut got).unwrap();

    stage.google.preempt(&zone, &name, Duration::ZERO);
    screen.until("machine away").await;
    screen.until("started anew").await;
    screen.keys("wc -c big\r").await;
    screen.until("16000000 big\r\n").await;
    let read = tokio::task::spawn_blocking(move || {
        out.read_to_end(&mut got).unwrap();
        got
    });
    assert!(read.await.unwrap() == big, "every byte, once");
    assert_eq!(getting.wait().unwrap().code(), Some(0));
    screen.keys("\r~.").await;
    assert_eq!(screen.ended().await, 0);
    stage.end(&workshop).await;
}
