//! A token typed at a terminal is not shown, and the terminal is given back.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

mod far;

use std::path::Path;

use far::{Attached, PATIENCE};
use tokio::{io::AsyncWriteExt, time::timeout};

const SECRET: &str = "clt_0123456789abcdef";

/// Asked for the token, with keys no longer shown.
async fn asked(home: &Path) -> Attached {
    let mut asked = Attached::start_as(home, "http://127.0.0.1:9", &["login", "--no-check"]);
    // The words come before the silence: both are waited for.
    asked.until_shown("not shown").await;
    let silence = async {
        while asked.echoes() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, silence).await.expect("silence in time");
    asked
}

#[tokio::test(flavor = "multi_thread")]
async fn a_typed_token_is_kept_and_not_shown() {
    let home = tempfile::tempdir().unwrap();
    let mut asked = asked(home.path()).await;
    let keys = format!("{SECRET}\r");
    asked.pty.write_all(keys.as_bytes()).await.unwrap();
    assert_eq!(asked.ended().await, 0);
    let screen = asked.screen().await;
    assert!(
        !screen.contains(SECRET) && screen.contains("Signed in"),
        "{screen}"
    );
    assert!(asked.is_given_back());
    let kept = home.path().join(".config/clarateach/login.json");
    assert!(std::fs::read_to_string(kept).unwrap().contains(SECRET));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_at_the_question_gives_the_terminal_back() {
    let home = tempfile::tempdir().unwrap();
    let mut asked = asked(home.path()).await;
    asked.pty.write_all(b"\x03").await.unwrap();
    assert_eq!(asked.ended().await, 130);
    assert!(asked.is_given_back());
    assert!(!home.path().join(".config").exists());
}
