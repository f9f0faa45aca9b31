//! Orphans and the end.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

mod common;

use std::time::Duration;

use common::{Guest, PATIENCE};

#[tokio::test]
async fn a_stop_hangs_up_shells_tells_viewers_and_ends_what_will_not() {
    let mut guest = Guest::start().await;
    let pid = guest.pid();
    let mut polite = guest.attach("terminal=polite&offset=0").await;
    polite
        .keys("exec sh -c 'trap \"echo BYE > bye; exit\" HUP; echo SET-$((6*7)); while :; do sleep 0.1; done'\n")
        .await;
    polite.until_says("SET-42").await;
    let mut stubborn = guest.attach("terminal=stubborn&offset=0").await;
    stubborn.keys("trap '' HUP TERM; echo SET-$((6*7))\n").await;
    stubborn.until_says("SET-42").await;
    let bye = guest.workspace().join("bye");
    let waiting = tokio::spawn(async move { polite.until_closed().await });
    let took = guest.shut_down(Duration::from_millis(500)).await;
    assert_eq!(waiting.await.unwrap(), 1012);
    assert_eq!(std::fs::read_to_string(bye).unwrap_or_default(), "BYE\n");
    assert!(took < PATIENCE);
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}
