//! What Google's preemption is to somebody who works in the command line.

use std::{io::Read as _, process::Stdio, time::Duration};

use clarateach_e2e::{house::patience, person::Person, screen::Screen, wait::until};

use crate::Stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_preemption_delays_a_download_and_a_terminal_of_the_command_line() {
    let Some(stage) = Stage::new().await else {
        return;
    };
    let workshop = stage.house.class("Delayed", 1).await;
    let workshop = stage.ready(&workshop.id).await;
    let (zone, name, _) = stage.only_vm();
    let before = stage.worker_address(&workshop);
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
    until("it to be back elsewhere", patience(), async || {
        let now = stage.ready(&workshop.id).await.workers[0].address.clone();
        if now == before { Err(now) } else { Ok(()) }
    })
    .await;
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
