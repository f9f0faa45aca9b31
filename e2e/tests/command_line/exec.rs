//! Commands without a terminal, and a log that is followed.

use std::{
    io::{BufRead, BufReader},
    process::Stdio,
};

use clarateach_e2e::house_or_skip;
use clarateach_proto::workshop::ResetSeatRequest;

use clarateach_e2e::person::Person;

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_in_the_seat_and_its_log_is_followed() {
    let house = house_or_skip!();
    let workshop = house.class("Exec", 1).await;
    let bob = Person::new();
    assert_eq!(bob.run("exec true").code, 255, "no seat yet");
    bob.join(&house, &workshop.code, "Bob");
    let line = ["exec", "--", "sh", "-c", "echo out; echo err >&2; exit 3"];
    let ran = bob.run_with(&line, b"");
    assert_eq!((ran.code, ran.out.as_str()), (3, "out\n"));
    assert!(ran.errors.contains("err\n"), "{}", ran.errors);
    assert_eq!(bob.run("exec --cwd /tmp pwd").good(), "/tmp\n");
    let words = bob.run_with(&["exec", "-i", "--gateway", "wc", "-c"], &vec![0; 100_000]);
    assert_eq!(words.good(), "100000\n");
    assert_eq!(
        bob.run_with(&["exec", "--", "sh", "-c", "kill -9 $$"], b"")
            .code,
        137
    );
    let late = bob.run("exec --timeout 1s sleep 60");
    assert_eq!((late.code, late.errors.contains("--timeout")), (255, true));
    assert_eq!(bob.run("exec no-such-program").code, 255);

    let ada = Person::new();
    ada.login(&house);
    let mut follower = ada
        .command(&["logs", "-f", "Exec", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let mut until_configured = || {
        let found = lines.find(|line| line.as_ref().unwrap().contains("guest configured"));
        assert!(found.is_some(), "the log ended");
    };
    until_configured();
    let fresh = ResetSeatRequest {
        workshop_id: workshop.id.clone(),
        seat: 1,
        request_id: String::new(),
    };
    house.workshops().await.reset_seat(fresh).await.unwrap();
    until_configured();
    let id = i32::try_from(follower.id()).unwrap();
    let id = rustix::process::Pid::from_raw(id).unwrap();
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    assert_eq!(follower.wait().unwrap().code(), Some(130));
    house.close();
}
