//! Commands without a terminal.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

mod common;

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use common::{Guest, PATIENCE, SECRET};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

fn said(lines: &[Value], stream: &str) -> Vec<u8> {
    lines
        .iter()
        .filter_map(|line| line[stream].as_str())
        .flat_map(|part| STANDARD.decode(part).unwrap())
        .collect()
}

#[tokio::test]
async fn a_command_gives_its_output_its_errors_and_its_code() {
    let guest = Guest::start().await;
    let order = json!({"command": "echo \"$(id -u) $PWD $LESSON $MORE\"; cat; echo oops >&2; exit 3",
        "stdin": STANDARD.encode("in\0put"), "env": {"MORE": "yes"}});
    let (status, lines) = guest.exec(&order).await;
    assert_eq!(status, 200);
    let wanted = format!(
        "{} {} one yes\nin\0put",
        common::learner().0,
        guest.workspace().display()
    );
    assert_eq!(String::from_utf8(said(&lines, "stdout")).unwrap(), wanted);
    assert_eq!(said(&lines, "stderr"), b"oops\n");
    assert_eq!(lines.last(), Some(&json!({"exit_code": 3})));

    let (_, lines) = guest
        .exec(&json!({"argv": ["head", "-c", "3000000", "/dev/zero"]}))
        .await;
    assert_eq!(said(&lines, "stdout").len(), 3_000_000);
    let (_, lines) = guest.exec(&json!({"command": "kill -TERM $$"})).await;
    assert_eq!(
        lines.last(),
        Some(&json!({"signal": "SIGTERM", "timed_out": false}))
    );
    let (_, lines) = guest
        .exec(&json!({"command": "sleep 1000 & sleep 1000", "timeout_seconds": 1}))
        .await;
    assert_eq!(
        lines.last(),
        Some(&json!({"signal": "SIGKILL", "timed_out": true}))
    );
    let (_, lines) = guest
        .exec(&json!({"command": "(sleep 100; echo late) & echo now"}))
        .await;
    assert_eq!(said(&lines, "stdout"), b"now\n");
    assert_eq!(lines.last(), Some(&json!({"exit_code": 0})));
}

#[tokio::test]
async fn what_cannot_be_started_is_refused() {
    let guest = Guest::start().await;
    for order in [
        json!({}),
        json!({"argv": ["/no/such/program"]}),
        json!({"command": "ls", "cwd": "/no/such"}),
    ] {
        let (status, lines) = guest.exec(&order).await;
        assert_eq!(status, 400, "{order}");
        assert!(lines[0]["error"]["message"].is_string());
    }
}

/// Says the order and hears the first line; the connection stays open.
async fn begin(guest: &Guest, command: &str) -> TcpStream {
    let body = json!({ "command": command }).to_string();
    let mut stream = TcpStream::connect(&guest.terminal).await.unwrap();
    let head = format!(
        "POST /exec HTTP/1.1\r\nhost: guest\r\nclarateach-secret: {SECRET}\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![];
    while !answer.windows(6).any(|part| part == b"stdout") {
        assert!(
            stream.read_buf(&mut answer).await.unwrap() > 0,
            "{:?}",
            String::from_utf8_lossy(&answer)
        );
    }
    stream
}

#[tokio::test]
async fn when_the_caller_goes_the_whole_group_goes() {
    let guest = Guest::start().await;
    let marker = format!("{}", 100_000 + std::process::id());
    let caller = begin(
        &guest,
        &format!("sleep {marker} & echo started; sleep {marker}; echo never"),
    )
    .await;
    let until = Instant::now() + PATIENCE;
    while sleepers(&marker) < 2 {
        assert!(Instant::now() < until, "not yet running");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(caller);
    while sleepers(&marker) > 0 {
        assert!(Instant::now() < until, "still running");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn sleepers(marker: &str) -> usize {
    let wanted = format!("sleep\0{marker}\0").into_bytes();
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
        .filter(|cmdline| *cmdline == wanted)
        .count()
}

#[tokio::test]
async fn a_seventeenth_command_waits_its_turn_elsewhere() {
    let guest = Guest::start().await;
    let mut running = vec![];
    for _ in 0..16 {
        running.push(begin(&guest, "echo started; sleep 1000").await);
    }
    let (status, lines) = guest.exec(&json!({"command": "true"})).await;
    assert_eq!(status, 429);
    assert_eq!(lines[0]["error"]["reason"], "TOO_MANY_COMMANDS");
    running.clear();
    let until = Instant::now() + PATIENCE;
    while guest.exec(&json!({"command": "true"})).await.0 == 429 {
        assert!(Instant::now() < until, "places are not given back");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
