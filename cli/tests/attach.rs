//! What `attach` does to a learner's terminal, seen from the terminal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod far;

use far::{Attached, Far, run};
use pty_process::Size;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::{
    Message,
    protocol::{CloseFrame, frame::coding::CloseCode},
};

/// A worker, a control plane, and a machine that holds a seat.
async fn seat() -> (Far, String, TempDir) {
    let far = Far::start().await;
    let server = far.control_plane(&far.ca).await;
    let home = tempfile::tempdir().unwrap();
    let (code, _, errors) = run(home.path(), &server, &["join", "7k3m9-qx2vb"]).await;
    assert_eq!(code, 0, "{errors}");
    (far, server, home)
}

#[tokio::test]
async fn leaving_gives_the_terminal_back_as_it_was() {
    let (far, server, home) = seat().await;
    let mut attached = Attached::start(home.path(), &server);
    let mut line = far.line().await;
    line.attached(0).await;
    line.output(b"\x1b[?1049h\x1b[?25l\x1b[?2004hfull screen")
        .await;
    attached.until_shown("full screen").await;
    assert!(!attached.is_given_back(), "it was never raw");
    attached.pty.write_all(b"x\r~.").await.unwrap();
    line.keys("x\r").await;
    assert_eq!(attached.ended().await, 0);
    assert!(attached.is_given_back());
    let screen = attached.screen().await;
    for off in ["\x1b[?1049l", "\x1b[?25h", "\x1b[?2004l"] {
        assert!(screen.contains(off), "{off:?} is not in {screen:?}");
    }
}

#[tokio::test]
async fn leaving_needs_nothing_but_its_two_keys() {
    let (far, server, home) = seat().await;
    let mut attached = Attached::start(home.path(), &server);
    let mut line = far.line().await;
    line.attached(0).await;
    line.output(b"ready").await;
    attached.until_shown("ready").await;
    attached.pty.write_all(b"~.").await.unwrap();
    assert_eq!(attached.ended().await, 0);
    assert!(attached.is_given_back());
}

#[tokio::test]
async fn a_signal_gives_the_terminal_back_too() {
    let (far, server, home) = seat().await;
    let mut attached = Attached::start(home.path(), &server);
    let mut line = far.line().await;
    line.attached(0).await;
    line.output(b"\x1b[?1049hworking").await;
    attached.until_shown("working").await;
    let pid = i32::try_from(attached.child.id().unwrap()).unwrap();
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(attached.ended().await, 128 + 15);
    assert!(attached.is_given_back());
    assert!(attached.screen().await.contains("\x1b[?1049l"));
}

#[tokio::test]
async fn the_shells_code_becomes_ours() {
    let (far, server, home) = seat().await;
    let mut attached = Attached::start(home.path(), &server);
    let mut line = far.line().await;
    line.attached(0).await;
    line.say(r#"{"type":"exit","code":7}"#).await;
    assert_eq!(attached.ended().await, 7);
    assert!(attached.is_given_back());
}

#[tokio::test]
async fn a_cut_connection_goes_on_at_the_byte_where_it_was() {
    let (far, server, home) = seat().await;
    let mut attached = Attached::start(home.path(), &server);
    let mut line = far.line().await;
    assert_eq!(line.query, "terminal=main&cols=100&rows=40");
    line.attached(0).await;
    line.output(b"one two ").await;
    attached.until_shown("one two ").await;
    drop(line); // no close frame: as when a cable is pulled
    let mut line = far.line().await;
    assert_eq!(
        line.query,
        "terminal=main&instance=i1&offset=8&cols=100&rows=40"
    );
    line.attached(8).await;
    line.output(b"three").await;
    attached.until_shown("one two three").await;
}

#[tokio::test]
async fn a_full_screen_program_is_drawn_anew_after_a_cut() {
    let (far, server, home) = seat().await;
    let mut attached = Attached::start(home.path(), &server);
    let mut line = far.line().await;
    line.attached(0).await;
    line.output(b"\x1b[?1049hvim").await;
    attached.until_shown("vim").await;
    drop(line);
    assert_eq!(far.line().await.query, "terminal=main&cols=100&rows=40");
}

#[tokio::test]
async fn sizes_and_acks_reach_the_shell() {
    let (far, server, home) = seat().await;
    let mut attached = Attached::start(home.path(), &server);
    let mut line = far.line().await;
    line.attached(0).await;
    line.output(b"ready").await;
    attached.until_shown("ready").await;
    attached.pty.resize(Size::new(50, 132)).unwrap();
    let wanted = r#"{"cols":132,"rows":50,"type":"resize"}"#;
    line.next(|frame| {
        matches!(frame, Message::Text(text) if text.as_str() == wanted).then_some(())
    })
    .await;
    line.output(&vec![b'.'; 50_000]).await;
    line.output(b"end").await;
    attached.until_shown("end").await;
    let wanted = r#"{"offset":50008,"type":"ack"}"#;
    line.next(|frame| {
        matches!(frame, Message::Text(text) if text.as_str() == wanted).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_workshop_that_is_over_ends_it_with_a_reason() {
    let (far, server, home) = seat().await;
    let mut attached = Attached::start(home.path(), &server);
    let mut line = far.line().await;
    line.attached(0).await;
    let close = CloseFrame {
        code: CloseCode::Library(4410),
        reason: "deleted by its teacher".into(),
    };
    line.socket.close(Some(close)).await.unwrap();
    assert_eq!(attached.ended().await, 255);
    let screen = attached.screen().await;
    assert!(
        screen.contains("the workshop is over: deleted by its teacher"),
        "{screen:?}"
    );
}

#[tokio::test]
async fn a_worker_with_another_ca_never_sees_the_token() {
    let (far, other) = (Far::start().await, Far::start().await);
    let server = far.control_plane(&other.ca).await;
    let home = tempfile::tempdir().unwrap();
    assert_eq!(
        run(home.path(), &server, &["join", "7K3M9QX2VB"]).await.0,
        0
    );
    let mut attached = Attached::start(home.path(), &server);
    let met = far.try_line().await;
    assert!(met.is_err(), "it spoke to a stranger");
    assert_eq!(attached.ended().await, 255);
    assert!(
        attached
            .screen()
            .await
            .contains("could not reach the terminal")
    );
}

#[tokio::test]
async fn a_worker_out_of_reach_is_reached_through_the_control_plane() {
    let far = Far::start().await;
    let server = far.gateway().await;
    let home = tempfile::tempdir().unwrap();
    let ca = home.path().join("ca.pem");
    std::fs::write(&ca, &far.ca).unwrap();
    let join = ["join", "7K3M9QX2VB", "--ca", ca.to_str().unwrap()];
    assert_eq!(run(home.path(), &server, &join).await.0, 0);
    let mut attached = Attached::start(home.path(), &server);
    let mut line = far.line().await;
    line.attached(0).await;
    line.output(b"here").await;
    attached.until_shown("here").await;
    assert!(
        attached
            .screen()
            .await
            .contains("going through the control plane")
    );
}
