//! Terminals, seen from a plain WebSocket client.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used)] // a helper that fails is a test that fails

mod common;

use clarateach_proto::guest::{
    CloseViewers, GetHealth, Notify, request::Verb, response::Result as Outcome,
};
use common::Guest;
use futures_util::{SinkExt as _, StreamExt as _};
use tokio_tungstenite::tungstenite::{Error, Message};

#[tokio::test]
async fn a_shell_is_the_learners_login_shell_in_the_workspace() {
    let guest = Guest::start().await;
    let mut terminal = guest.attach("cols=100&rows=30&offset=0").await;
    terminal
        .keys("echo \"$(id -u) $PWD $TERM $LANG $LESSON $HOME\" $(stty size) $0; tty\n")
        .await;
    let wanted = format!(
        "{} {} xterm-256color C.UTF-8 one {} 30 100 -bash",
        common::learner().0,
        guest.workspace().display(),
        guest.home().display()
    );
    terminal.until_says(&wanted).await;
    terminal.until_says("/dev/pts/").await;
    assert_eq!(terminal.kinds()[..2], ["attached", "live"]);
    let attached = terminal.frame("attached").unwrap();
    assert_eq!(
        (attached["cols"].as_u64(), attached["rows"].as_u64()),
        (Some(100), Some(30))
    );
}

#[tokio::test]
async fn a_shell_survives_its_socket_and_every_number_comes_once() {
    let guest = Guest::start().await;
    let mut terminal = guest.attach("offset=0").await;
    terminal
        .keys("stty -echo; PS1=; for i in $(seq 1 400); do echo n$i; sleep 0.005; done; echo END\n")
        .await;
    terminal.until_says("n50\r\n").await;
    let instance = terminal.frame("attached").unwrap()["instance"]
        .as_str()
        .unwrap()
        .to_owned();
    let mut output = terminal.output.clone();
    let mut offset = terminal.offset;
    drop(terminal); // without a close frame
    for _ in 0..3 {
        let mut again = guest
            .attach(&format!("instance={instance}&offset={offset}"))
            .await;
        let before = again.output.len();
        again
            .until("more", |again| again.output.len() > before + 100)
            .await;
        assert!(again.frame("restarted").is_none() && again.frame("repaint").is_none());
        output.extend(&again.output);
        offset = again.offset;
    }
    let mut last = guest
        .attach(&format!("instance={instance}&offset={offset}"))
        .await;
    last.until_says("END").await;
    output.extend(&last.output);
    let text = String::from_utf8(output).unwrap();
    let numbers: Vec<u32> = text
        .split(['\r', '\n'])
        .filter_map(|line| line.strip_prefix('n')?.parse().ok())
        .collect();
    assert_eq!(numbers, (1..=400).collect::<Vec<_>>());
}

#[tokio::test]
async fn who_comes_without_an_offset_is_drawn_the_screen() {
    let guest = Guest::start().await;
    let mut first = guest.attach("offset=0").await;
    first.keys("clear; echo MARK-$((6*7))\n").await;
    first.until_says("MARK-42").await;
    let mut second = guest.attach("").await;
    let repaint = second.until_frame("repaint").await;
    let length = usize::try_from(repaint["bytes"].as_u64().unwrap()).unwrap();
    let mut drawn: Vec<u8> = vec![];
    while drawn.len() < length {
        match second.socket.next().await.unwrap().unwrap() {
            Message::Binary(data) => drawn.extend(&data[..]),
            other => panic!("{other:?} within a painting"),
        }
    }
    assert_eq!(drawn.len(), length);
    let mut screen = vt100::Parser::new(24, 80, 0);
    screen.process(&drawn);
    assert!(screen.screen().contents().contains("MARK-42"));
    match second.socket.next().await.unwrap().unwrap() {
        Message::Text(text) => assert!(text.contains("live"), "{text}"),
        other => panic!("{other:?} instead of live"),
    }
}

#[tokio::test]
async fn every_byte_survives_both_ways() {
    let guest = Guest::start().await;
    let mut terminal = guest.attach("offset=0").await;
    terminal
        .keys("stty raw -echo; echo READY; head -c 2560 | tee got; stty sane; echo DONE\r")
        .await;
    terminal.until_says("READY\n").await;
    let before = terminal.output.len();
    let bytes: Vec<u8> = (0..=255).collect();
    for _ in 0..10 {
        terminal.keys(bytes.clone()).await;
    }
    terminal
        .until("all bytes", |terminal| {
            terminal.output.len() >= before + 2560
        })
        .await;
    assert!(terminal.output[before..before + 2560] == bytes.repeat(10));
    terminal.until_says("DONE").await;
    assert!(std::fs::read(guest.workspace().join("got")).unwrap() == bytes.repeat(10));
}

#[tokio::test]
async fn an_interrupt_under_a_flood_is_felt_by_who_acks() {
    let guest = Guest::start().await;
    let mut terminal = guest.attach("offset=0").await;
    terminal.acks = true;
    terminal.keys("yes\n").await;
    terminal
        .until("a flood", |terminal| terminal.output.len() > 3_000_000)
        .await;
    let at = terminal.output.len();
    terminal.keys(&b"\x03"[..]).await;
    terminal.keys("echo STOP-$((6*7))\n").await;
    terminal.until_says("STOP-42").await;
    let after = terminal.output.len() - at;
    // The window's most and the buffers on the way, ten times over is far less
    // than what a shell that is not held back would write.
    assert!(after < 12_000_000, "{after} bytes after Ctrl-C");
    assert!(
        terminal.frame("repaint").is_none(),
        "who acks misses nothing"
    );
}

#[tokio::test]
async fn who_does_not_read_costs_little_and_stalls_nobody() {
    let guest = Guest::start().await;
    let mut idle = guest.attach_narrow("offset=0").await; // the driver, and it never acks
    idle.until_frame("live").await;
    let mut active = guest.attach("").await;
    active.until_frame("live").await;
    active
        .keys(
            "yes 0123456789012345678901234567890123456789 | head -c 24000000; echo DONE-$((6*7))\n",
        )
        .await;
    active.until_says("DONE-42").await;
    let peak = peak_kib(guest.pid());
    assert!(peak < 40_000, "{peak} KiB at the peak");
    // and who wakes up is drawn the present, and goes on from there
    let repaint = idle.until_frame("repaint").await;
    assert!(repaint["lost"].as_u64().unwrap() > 0);
    idle.keys("echo AWAKE-$((6*7))\n").await;
    idle.until_says("AWAKE-42").await;
}

fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[tokio::test]
async fn sizes_are_the_drivers_and_bad_ones_lose_nothing() {
    let guest = Guest::start().await;
    let mut driver = guest.attach("offset=0&cols=80&rows=24").await;
    let mut other = guest.attach("offset=0").await;
    driver
        .say(r#"{"type":"resize","cols":101,"rows":33}"#)
        .await;
    let resized = other.until_frame("resized").await;
    assert_eq!(
        (resized["cols"].as_u64(), resized["rows"].as_u64()),
        (Some(101), Some(33))
    );
    for bad in [
        r#"{"type":"resize","cols":0,"rows":24}"#,
        r#"{"type":"resize","cols":65535,"rows":65535}"#,
        r#"{"type":"resize","cols":"x","rows":24}"#,
        "not json",
    ] {
        driver.frames.clear();
        driver.say(bad).await;
        driver.until_frame("error").await;
    }
    driver.keys("stty size\n").await;
    driver.until_says("33 101").await;
}

#[tokio::test]
async fn an_end_is_told_and_the_next_attach_is_a_new_shell() {
    let guest = Guest::start().await;
    let mut terminal = guest.attach("offset=0").await;
    let instance = terminal.until_frame("attached").await["instance"].clone();
    terminal.keys("exit 7\n").await;
    assert_eq!(terminal.until_frame("exit").await["code"], 7);
    assert_eq!(terminal.until_closed().await, 1000);
    let query = format!("instance={}&offset=5", instance.as_str().unwrap());
    let mut again = guest.attach(&query).await;
    again.until_frame("live").await;
    assert_eq!(again.kinds()[..2], ["attached", "restarted"]);
    assert_ne!(again.frame("attached").unwrap()["instance"], instance);
}

#[tokio::test]
async fn without_the_subprotocol_every_frame_is_data() {
    let guest = Guest::start().await;
    let mut plain = guest.try_attach("learner;drive", "", None).await.unwrap();
    plain
        .socket
        .send(Message::text("echo text-$((6*7))\n"))
        .await
        .unwrap();
    plain.keys("echo binary-$((6*7))\n").await;
    plain.until_says("text-42").await;
    plain.until_says("binary-42").await;
    assert!(plain.frames.is_empty());
}

#[tokio::test]
async fn observers_look_and_helpers_need_consent() {
    let guest = Guest::start().await;
    let refused = guest.try_attach("o;observe", "", None).await.err().unwrap();
    assert!(
        matches!(refused, Error::Http(response) if response.status() == 404),
        "an observer starts no shell"
    );
    let mut learner = guest.attach("offset=0").await;
    learner.until_frame("live").await;
    let mut observer = guest.attach_as("o;observe", "offset=0").await;
    let mut helper = guest.attach_as("h;assist", "offset=0").await;
    learner
        .until("both", |learner| {
            learner.frames.iter().any(|frame| {
                frame["n"] == 3
                    && frame["watching"]
                        .as_array()
                        .is_some_and(|all| all.len() == 2)
            })
        })
        .await;
    observer.keys("echo OBSERVED-$((6*7))\n").await;
    assert_eq!(observer.until_frame("error").await["reason"], "observing");
    helper.keys("echo HELPED-$((6*7))\n").await;
    assert_eq!(
        helper.until_frame("error").await["reason"],
        "consent_needed"
    );
    helper
        .say(r#"{"type":"consent","viewer":"h","allow":true}"#)
        .await;
    learner
        .say(r#"{"type":"consent","viewer":"h","allow":true}"#)
        .await;
    learner.say(r#"{"type":"ping"}"#).await;
    learner.until_frame("pong").await; // the consent was before it
    helper.keys("echo HELPED-$((6*7))\n").await;
    learner.until_says("HELPED-42").await;
    assert!(
        !learner.says("OBSERVED"),
        "what an observer typed went nowhere"
    );
    assert_eq!(
        learner
            .output
            .windows(9)
            .filter(|part| part == b"HELPED-42")
            .count(),
        1
    );
}

#[tokio::test]
async fn the_agent_closes_whom_it_names_and_shows_notices() {
    let guest = Guest::start().await;
    let mut one = guest.attach_as("one;drive", "offset=0").await;
    let mut two = guest.attach_as("two;drive", "offset=0").await;
    one.until_frame("live").await;
    two.until_frame("live").await;
    guest
        .control(Verb::Notify(Notify {
            kind: "expiring".into(),
            message: "ten minutes".into(),
            at_unix_millis: 5,
        }))
        .await;
    let notice = two.until_frame("notice").await;
    assert_eq!(
        (
            notice["kind"].as_str(),
            notice["message"].as_str(),
            notice["at"].as_i64()
        ),
        (Some("expiring"), Some("ten minutes"), Some(5))
    );
    let close = CloseViewers {
        viewers: vec!["one".into()],
        code: 4403,
        reason: "revoked".into(),
    };
    let response = guest.control(Verb::CloseViewers(close)).await;
    assert!(matches!(response.result, Some(Outcome::ViewersClosed(closed)) if closed.closed == 1));
    assert_eq!(one.until_closed().await, 4403);
    two.keys("echo STILL-$((6*7))\n").await;
    two.until_says("STILL-42").await;
    let Some(Outcome::Health(health)) = guest.control(Verb::GetHealth(GetHealth {})).await.result
    else {
        panic!("no health")
    };
    assert!(health.ready && health.viewers == 1 && health.terminals == 1);
    assert!(health.last_input_unix_millis > 1_700_000_000_000);
}

#[tokio::test]
async fn answers_of_a_terminal_are_no_keystrokes() {
    let guest = Guest::start().await;
    let mut terminal = guest.attach("offset=0").await;
    terminal.until_frame("live").await;
    terminal.keys(&b"\x1b[?1;2c\x1b[I"[..]).await;
    terminal.say(r#"{"type":"ping"}"#).await;
    terminal.until_frame("pong").await;
    let Some(Outcome::Health(health)) = guest.control(Verb::GetHealth(GetHealth {})).await.result
    else {
        panic!("no health")
    };
    assert_eq!(health.last_input_unix_millis, 0);
}

#[tokio::test]
async fn a_ninth_terminal_and_frames_too_large_are_refused() {
    let guest = Guest::start().await;
    let mut open = vec![];
    for n in 0..8 {
        open.push(guest.attach(&format!("terminal=t{n}&offset=0")).await);
    }
    let refused = guest
        .try_attach("l;drive", "terminal=t8", None)
        .await
        .err()
        .unwrap();
    assert!(matches!(refused, Error::Http(response) if response.status() == 409));
    open[0].say(&"x".repeat(5000)).await;
    assert_eq!(open[0].until_closed().await, 1009);
    open[1].keys(vec![b'x'; 500 * 1024]).await;
    assert_eq!(open[1].until_closed().await, 1009);
    let again = guest.attach("terminal=t1&offset=0").await;
    drop(again); // the shell is still there: no ninth was started
    open[2].keys("exit\n").await;
    open[2].until_closed().await;
    guest.attach("terminal=t8&offset=0").await;
}

#[tokio::test]
async fn without_identity_or_secret_nobody_is_served() {
    let guest = Guest::start_unconfigured();
    for address in [&guest.terminal, &guest.files] {
        let (response, body) = common::send(address, "GET", "/health", &[], "").await;
        assert_eq!(response.status(), 503);
        assert!(String::from_utf8_lossy(&body).contains("NOT_CONFIGURED"));
    }
    guest.configure().await;
    for address in [&guest.terminal, &guest.files] {
        for secret in [
            "",
            "ff112233445566778899aabbccddeeff",
            "00112233445566778899aabbccddee",
        ] {
            let (response, _) = common::send(
                address,
                "GET",
                "/health",
                &[("clarateach-secret", secret)],
                "",
            )
            .await;
            assert_eq!(response.status(), 401, "{secret:?}");
        }
        let (response, _) = common::send(address, "GET", "/health", &[], "").await;
        assert_eq!(response.status(), 200);
    }
    let refused = guest.try_attach("no mode", "", None).await.err().unwrap();
    assert!(matches!(refused, Error::Http(response) if response.status() == 400));
    let refused = guest
        .try_attach("l;drive", "cols=0&rows=5", None)
        .await
        .err()
        .unwrap();
    assert!(matches!(refused, Error::Http(response) if response.status() == 400));
}
