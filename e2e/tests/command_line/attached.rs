//! `attach` in a real terminal: an editor, lines that are cut, a machine that goes.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    process::Stdio,
    time::Duration,
};

use clarateach_e2e::{
    cable::Cable,
    house::patience,
    house_or_skip,
    person::{FAKETIME, Person},
    screen::Screen,
    wait::until,
};

const IDLE: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_person_edits_in_vim_and_a_machine_that_goes_comes_back_with_the_file() {
    let house = house_or_skip!();
    let workshop = house.class("Editor", 1).await;
    let bob = Person::new();
    bob.join(&house, &workshop.code, "Bob");
    let mut screen = Screen::start(&bob, &["attach"]);
    screen.keys("vi note.txt\r").await;
    screen.until("note.txt").await;
    screen.keys("ihello from vi\x1b:wq\r").await;
    screen.until("written").await;
    screen.keys("sync; wc -l note.txt; stty size\r").await;
    screen.until("1 note.txt\r\n40 100\r\n").await;
    assert_eq!(bob.run("files get note.txt -").good(), "hello from vi\n");

    house.lose_worker(&workshop.id).await;
    screen.until("started anew").await;
    screen.keys("cat note.txt\r").await;
    screen.until("hello from vi\r\n").await;
    screen.keys("\r~.").await;
    assert_eq!(screen.ended().await, 0);
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_that_goes_under_a_download_only_delays_it() {
    let house = house_or_skip!();
    let workshop = house.class("Delayed", 1).await;
    let bob = Person::new();
    bob.join(&house, &workshop.code, "Bob");
    let big: Vec<u8> = (0..8_000_000_u32).flat_map(u32::to_le_bytes).collect();
    bob.run_with(&["files", "put", "-", "big"], &big).good();
    bob.run("exec sync").good();
    // Nobody reads on: the rest of it is still there when the machine goes.
    let mut getting = bob
        .command(&["files", "get", "big", "-"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = getting.stdout.take().unwrap();
    let mut got = vec![0; 1000];
    out.read_exact(&mut got).unwrap();
    house.lose_worker(&workshop.id).await;
    let read = tokio::task::spawn_blocking(move || {
        out.read_to_end(&mut got).unwrap();
        got
    });
    assert!(read.await.unwrap() == big, "every byte, once");
    assert_eq!(getting.wait().unwrap().code(), Some(0));
    assert_eq!(bob.run("files ls -o name").good(), "big\n");
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_cuts_what_is_idle_costs_a_pause_and_no_more() {
    let house = house_or_skip!();
    let workshop = house.class("Idle", 1).await;
    let cable = Cable::to(&house.url, IDLE).await;
    let (bob, ada) = (Person::new(), Person::new());
    bob.join_at(&cable.url, &workshop.code, "Bob");
    let login = ["login", "--server", &cable.url];
    ada.run_with(&login, house.admin_token().as_bytes()).good();
    let another_cut = async |before: usize| {
        until("the proxy to cut", patience(), async || {
            let cuts = cable.cuts();
            if cuts > before { Ok(()) } else { Err(cuts) }
        })
        .await;
    };

    let mut screen = Screen::start(&bob, &["attach", "--gateway"]);
    screen.keys("sleep 3; echo aw''ake\r").await;
    screen.until("awake\r\n").await;
    assert!(cable.cuts() > 0, "it was never idle");
    screen.keys("echo st''ill\r").await;
    screen.until("still\r\n").await;
    screen.keys("\r~.").await;
    assert_eq!(screen.ended().await, 0);

    // A watch that hears nothing for long, and then what it waits for.
    let line = [
        "workshop", "watch", "Idle", "--until", "stopped", "-o", "json",
    ];
    let mut watching = ada.command(&line).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watching.stdout.take().unwrap()).lines();
    assert!(lines.next().unwrap().unwrap().contains("running"));
    another_cut(cable.cuts()).await;

    // A command is not run twice, and what comes but once cannot be sent twice: both are told.
    let cut = bob.run("exec --gateway sleep 30");
    assert_eq!(cut.code, 255, "{}", cut.errors);
    assert!(cut.errors.contains("connection"), "{}", cut.errors);
    let mut putting = bob
        .command(&["files", "put", "--gateway", "-", "slow"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = putting.stdin.take().unwrap();
    input.write_all(b"some").unwrap();
    let ended = tokio::task::spawn_blocking(move || putting.wait().unwrap());
    assert_eq!(
        ended.await.unwrap().code(),
        Some(6),
        "without its input's end"
    );
    drop(input);
    assert_eq!(
        bob.run("files get --gateway slow").code,
        3,
        "nothing half made"
    );
    bob.run_with(&["files", "put", "--gateway", "-", "note"], b"hi")
        .good();
    assert_eq!(bob.run("files get --gateway note -").good(), "hi");

    ada.run("workshop stop Idle").good();
    let last = lines.map_while(Result::ok).last().unwrap();
    assert!(last.contains("\"status\":\"stopped\""), "{last}");
    assert_eq!(watching.wait().unwrap().code(), Some(0));
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_control_plane_that_restarts_under_a_terminal_costs_no_byte() {
    let mut house = house_or_skip!();
    let workshop = house.class("Restart", 1).await;
    let bob = Person::new();
    bob.join(&house, &workshop.code, "Bob");
    let mut screen = Screen::start(&bob, &["attach", "--gateway"]);
    screen
        .keys("for i in $(seq -f n%04g 200); do echo $i; sleep 0.05; done\r")
        .await;
    screen.until("n0020\r\n").await;
    house.stop_server().await;
    house.start_server().await;
    for n in 21..=200 {
        screen.until(&format!("n{n:04}\r\n")).await;
    }
    screen.keys("\r~.").await;
    assert_eq!(screen.ended().await, 0);
    house.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_by_an_hour_does_not_matter() {
    if !Path::new(FAKETIME).exists() {
        return println!("SKIPPED: needs {FAKETIME}: scripts/test.sh installs it");
    }
    let house = house_or_skip!();
    let workshop = house.class("Clocks", 2).await;
    for off in ["-1h", "+1h"] {
        let bob = Person::with_clock(off);
        bob.join(&house, &workshop.code, "Ada");
        assert_eq!(bob.run("exec echo here").good(), "here\n");
        bob.run_with(&["files", "put", "-", "note"], b"hi").good();
        assert_eq!(bob.run("files get note -").good(), "hi");
        let mut screen = Screen::start(&bob, &["attach"]);
        screen.keys("echo th''ere\r").await;
        screen.until("there\r\n").await;
        screen.keys("\r~.").await;
        assert_eq!(screen.ended().await, 0);
    }
    house.close();
}
