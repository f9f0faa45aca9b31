//! What an instructor lets seats reach.

use super::{BOOTED, FleetProcess, classroom, probe};

#[test]
fn a_policy_holds_changes_while_it_runs_and_outlives_the_agent() {
    let Some((worker, world, mut fleet)) = classroom(false, 1) else {
        return;
    };
    let targets = [
        "tcp:203.0.113.10:80",
        "udp:203.0.113.20:9",
        "name:open.test",
        "tcp:203.0.113.30:80",
        "ping:192.168.100.1",
    ]
    .map(String::from);
    let ended = |fleet: &mut FleetProcess| -> Vec<String> {
        probe(fleet, 1, &targets)
            .into_iter()
            .map(|(_, ended)| ended)
            .collect()
    };
    assert_eq!(
        ended(&mut fleet),
        ["open", "open", "203.0.113.10", "open", "open"]
    );
    // A connection that stands while the policy changes.
    let held = "python3 -c \"import socket,time
s=socket.create_connection(('203.0.113.10',80));s.settimeout(20);s.recv(99)
open('/tmp/held','w').write('yes')
try:
  for i in range(200):
    s.sendall(b'x');s.recv(9);time.sleep(.1)
  print('still open')
except ConnectionError as e: print('cut')\" > /tmp/end 2>&1 &";
    assert_eq!(
        fleet.ask(&format!("exec 1 {}", held.replace('\n', "\u{1}"))),
        "[0]"
    );
    fleet.wait_exec("exec 1 cat /tmp/held", "yes[0]");

    assert_eq!(fleet.ask(r#"egress {"mode":"none"}"#), "ok");
    assert_eq!(
        ended(&mut fleet),
        ["refused", "refused", "gai-3", "refused", "open"]
    );
    fleet.wait_exec("exec 1 cat /tmp/end", "cut|[0]");

    // Names are opened by being asked for, and by nothing else.
    let list = r#"egress {"mode":"allow_list","allow":["open.test","203.0.113.20"]}"#;
    assert_eq!(fleet.ask(list), "ok");
    let before = ["refused", "open", "203.0.113.10", "refused", "open"];
    let after = ["open", "open", "203.0.113.10", "refused", "open"];
    let found = ended(&mut fleet);
    assert!(found == before || found == after, "{found:?}");
    assert_eq!(ended(&mut fleet), after);
    let others = ["name:other.test", "name:deep.open.test"].map(String::from);
    for (name, ended) in probe(&mut fleet, 1, &others) {
        assert!(ended.starts_with("gai"), "{name} is {ended}");
    }
    let below = r#"egress {"mode":"allow_list","allow":["*.open.test"]}"#;
    assert_eq!(fleet.ask(below), "ok");
    let names = ["tcp:deep.open.test:80", "name:open.test"].map(String::from);
    let found = probe(&mut fleet, 1, &names);
    assert_eq!(found[0].1, "open");
    assert!(found[1].1.starts_with("gai"), "{found:?}");

    // The next agent holds to it before it is told again.
    assert_eq!(fleet.ask(r#"egress {"mode":"none"}"#), "ok");
    fleet.kill();
    let mut fleet = worker.start();
    fleet.wait_for("1 Ready", BOOTED);
    assert_eq!(
        ended(&mut fleet),
        ["refused", "refused", "gai-3", "refused", "open"]
    );
    assert_eq!(world.hits(), []);
    assert_eq!(fleet.ask("remove 1"), "ok");
}

#[test]
fn a_connection_to_an_allowed_name_outlives_the_agent_and_ends_with_its_name() {
    let Some((worker, _world, mut fleet)) = classroom(false, 1) else {
        return;
    };
    let list = |names: &str| {
        let names = names.replace(' ', r#"",""#);
        format!(r#"egress {{"mode":"allow_list","allow":["{names}"]}}"#)
    };
    let said = |fleet: &mut FleetProcess| -> u32 {
        let said = fleet.ask("exec 1 cat /tmp/said");
        said.trim_end_matches("[0]").parse().unwrap_or(0)
    };
    let goes_on = |fleet: &mut FleetProcess| {
        let (before, began) = (said(fleet), std::time::Instant::now());
        while said(fleet) < before + 5 {
            assert!(began.elapsed() < BOOTED, "the connection does not go on");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert_eq!(fleet.ask("exec 1 cat /tmp/end"), "[0]");
    };
    assert_eq!(fleet.ask(&list("open.test twin.test")), "ok");
    // By one name; the other one leads to the same place.
    let held = "python3 -c \"import os,socket,time
socket.gethostbyname('twin.test')
s=socket.create_connection(('open.test',80));s.settimeout(20);s.recv(99)
try:
  for i in range(3000):
    s.sendall(b'x');s.recv(9);time.sleep(.05)
    open('/tmp/saying','w').write(str(i));os.rename('/tmp/saying','/tmp/said')
  print('still open')
except ConnectionError as e: print('cut')\" > /tmp/end 2>&1 &";
    let held = held.replace('\n', "\u{1}");
    assert_eq!(fleet.ask(&format!("exec 1 {held}")), "[0]");
    goes_on(&mut fleet);

    for _ in 0..2 {
        fleet.kill();
        fleet = worker.start();
        fleet.wait_for("1 Ready", BOOTED);
        goes_on(&mut fleet);
    }
    // Flushed by somebody, and put right without that name being asked again.
    worker.inside("nft flush ruleset");
    assert_eq!(fleet.ask("look"), "true");
    goes_on(&mut fleet);
    assert_eq!(fleet.ask(&list("twin.test other.test")), "ok");
    goes_on(&mut fleet);
    assert_eq!(fleet.ask(&list("other.test")), "ok");
    fleet.wait_exec("exec 1 cat /tmp/end", "cut|[0]");
    let note = std::fs::read_to_string(worker.run_dir().join("names")).unwrap();
    assert_eq!(note, "", "what is not allowed is forgotten");
    assert_eq!(fleet.ask("remove 1"), "ok");
}
