//! Where a seat gets to and where not: a real bridge, real nftables, seats with
//! the real guest, and a world outside that counts every packet.
//!
//! Everything is inside namespaces of the tests' own: no packet leaves the
//! machine. Without root, `runc` or an image a story prints `SKIPPED`.

// Helpers of tests may fail as tests do, and print what people want to read.
#![allow(clippy::print_stdout, clippy::unwrap_used)]

#[path = "seats/worker.rs"]
mod worker;
#[path = "network/world.rs"]
mod world;

use std::time::Duration;

use worker::{FleetProcess, Worker, fleet_here};
use world::{CLOSED, EXTERNAL, UPLINK, World};

const BOOTED: Duration = Duration::from_mins(1);
/// Ten times the five seconds in which drift is mended.
const MENDED: Duration = Duration::from_secs(50);

/// Not a story: the other process of them all.
#[test]
fn fleet_process() {
    fleet_here();
}

/// A worker with its world, and so many seats.
fn classroom(micro_vms: bool, seats: u32) -> Option<(Worker, World, FleetProcess)> {
    let worker = if micro_vms {
        Worker::of_micro_vms()?
    } else {
        Worker::new()?
    };
    let world = World::behind(&worker);
    let mut fleet = worker.start();
    let policy = r#"{"mode":"internet"}"#;
    assert_eq!(fleet.ask(&format!("egress {policy}")), "ok");
    for seat in 1..=seats {
        fleet.ask(&format!("ensure {seat} {seat} 1"));
    }
    for seat in 1..=seats {
        let patience = if micro_vms { BOOTED * 10 } else { BOOTED };
        fleet.wait_for(&format!("{seat} Ready"), patience);
    }
    Some((worker, world, fleet))
}

/// Has the seat try all targets at once; how each ended.
fn probe(fleet: &mut FleetProcess, seat: u32, targets: &[String]) -> Vec<(String, String)> {
    probe_within(fleet, seat, targets, 3)
}

/// The same with another patience, in seconds.
fn probe_within(
    fleet: &mut FleetProcess,
    seat: u32,
    targets: &[String],
    within: u32,
) -> Vec<(String, String)> {
    use base64::Engine as _;
    let script = include_str!("network/probe.py");
    let script = base64::engine::general_purpose::STANDARD.encode(script);
    let targets = targets.join(" ");
    let said = fleet.ask(&format!(
        "exec {seat} echo {script} | base64 -d > /tmp/probe.py && python3 /tmp/probe.py {within} {targets}"
    ));
    let said = said
        .strip_suffix("|[0]")
        .unwrap_or_else(|| panic!("{said}"));
    let ended = said.split(' ').map(|one| {
        let (target, ended) = one.rsplit_once('=').unwrap_or_else(|| panic!("{said}"));
        (target.to_owned(), ended.to_owned())
    });
    ended.collect()
}

/// What a seat is for.
fn wanted() -> Vec<(String, &'static str)> {
    [
        ("tcp:203.0.113.10:80", "open"),
        ("tcp:203.0.113.20:443", "open"),
        ("udp:203.0.113.10:9", "open"),
        ("ping:203.0.113.10", "open"),
        ("ping:192.168.100.1", "open"),
        ("name:open.test", "203.0.113.10"),
        ("tcp:open.test:80", "open"),
        ("tcp:192.168.100.1:53", "open"),
    ]
    .map(|(target, ended)| (target.to_owned(), ended))
    .into()
}

/// What no seat may reach.
fn forbidden(seat: u32, seats: u32) -> Vec<String> {
    let mut all = Vec::new();
    for address in CLOSED {
        all.extend([
            format!("tcp:{address}:80"),
            format!("tcp:{address}:9090"),
            format!("udp:{address}:9"),
            format!("ping:{address}"),
        ]);
    }
    for own in ["192.168.100.1", UPLINK] {
        all.extend(["22", "9090"].map(|port| format!("tcp:{own}:{port}")));
        all.push(format!("udp:{own}:9"));
    }
    for other in (1..=seats).filter(|other| *other != seat) {
        let address = format!("192.168.100.{}", 10 + other);
        all.extend(["3001", "3002"].map(|port| format!("tcp:{address}:{port}")));
        all.extend([format!("udp:{address}:3001"), format!("ping:{address}")]);
    }
    all.extend(
        [
            "tcp:::ffff:169.254.169.254:80",
            "tcp:::ffff:10.128.0.77:80",
            "tcp:fe80::a9fe:a9fe%eth0:80",
            "tcp:fd00:ec2::254:80",
            "tcp:203.0.113.10:25",
            "tcp:198.51.100.1:25",
            "udp:224.0.0.1:9",
            "udp:255.255.255.255:9",
            "udp:192.168.100.255:9",
            "tcp:0.0.0.1:80",
            "tcp:240.0.0.1:80",
            "name:rebind.test",
            "name:half.test",
            "tcp:rebind.test:80",
            "name:vm.c.project.internal",
            "name:metadata.google.internal",
        ]
        .map(String::from),
    );
    assert!(all.contains(&format!("tcp:{EXTERNAL}:9090")));
    all
}

/// The whole matrix for every seat.
fn matrix(micro_vms: bool, seats: u32) {
    let Some((_worker, world, mut fleet)) = classroom(micro_vms, seats) else {
        return;
    };
    for seat in 1..=seats {
        let wanted = wanted();
        let forbidden = forbidden(seat, seats);
        let targets: Vec<_> = wanted
            .iter()
            .map(|(target, _)| target.clone())
            .chain(forbidden)
            .collect();
        // An emulated guest is slow.
        let within = if micro_vms { 15 } else { 3 };
        let found = probe_within(&mut fleet, seat, &targets, within);
        for ((target, want), (tried, ended)) in wanted.iter().zip(&found) {
            assert_eq!((target, *want), (tried, ended.as_str()), "seat {seat}");
        }
        for (target, ended) in &found[wanted.len()..] {
            let shut = [
                "refused",
                "silent",
                "ENETUNREACH",
                "EADDRNOTAVAIL",
                "EINVAL",
                "gai-2",
                "gai-3",
                "gai-5",
                "gai-9",
                "EAFNOSUPPORT",
            ];
            assert!(
                shut.contains(&ended.as_str()),
                "seat {seat}: {target} is {ended}"
            );
        }
        let refused = |target: &str| found.iter().any(|(t, e)| t == target && e == "refused");
        assert!(
            refused("tcp:10.128.0.77:80"),
            "a refusal, not a hang: {found:?}"
        );
        // A redirect that is followed is the same as having gone there.
        let followed = fleet.ask(&format!(
            "exec {seat} curl -s -m 3 -L http://203.0.113.10/ -o /dev/null; echo $?"
        ));
        assert_ne!(followed, "0|[0]");
        assert_eq!(
            fleet.ask(&format!("http {seat} 3002")),
            "200",
            "agent to seat"
        );
    }
    assert_eq!(world.hits(), [], "what arrived where nothing may");
    for seat in 1..=seats {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
}

#[test]
fn a_container_reaches_the_internet_and_nothing_else() {
    matrix(false, 5);
}

#[test]
fn a_micro_vm_reaches_the_internet_and_nothing_else() {
    matrix(true, 2);
}

/// The matrix finds something where there is something to find.
#[test]
fn without_walls_the_world_is_reached_and_counts_it() {
    let Some((worker, world, fleet)) = classroom(false, 2) else {
        return;
    };
    fleet.kill(); // it would put the walls up again
    worker.inside(
        "nft flush ruleset; nft add table ip naive
         nft add chain ip naive post '{ type nat hook postrouting priority 100; }'
         nft add rule ip naive post oifname up0 masquerade
         for port in /sys/class/net/ctp*; do ip link set ${port##*/} type bridge_slave isolated off learning on flood on bcast_flood on guard off; done",
    );
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/network/probe.py");
    let found = worker.in_seat(
        1,
        &format!(
            "python3 {script} 3 tcp:169.254.169.254:80 tcp:10.128.0.77:80 \
         tcp:192.168.100.12:3002 tcp:198.51.100.2:9090"
        ),
    );
    assert_eq!(found.matches("=open").count(), 4, "{found}");
    let hits = world.hits();
    assert!(hits.iter().any(|(name, _)| name == "closed"), "{hits:?}");
    // Even so, the other seat's guest knows its caller.
    for port in [3001, 3002] {
        let url = format!("http://192.168.100.12:{port}/");
        let asked = worker.in_seat(
            1,
            &format!("curl -s -m 3 -o /dev/null -w '%{{http_code}}' {url}"),
        );
        assert_eq!(asked, "401", "{url}");
    }
    let mut fleet = worker.start();
    for seat in 1..=2 {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
}

/// What a learner with all rights over their own interface does: `forge.py`.
fn claims(micro_vms: bool) {
    use base64::Engine as _;
    const FORGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/network/forge.py");
    let Some((worker, world, mut fleet)) = classroom(micro_vms, 2) else {
        return;
    };
    let whom = "100 192.168.100.12 02:c1:a2:00:00:02";
    // Where the learner is root there is no need to be more than that.
    let script = base64::engine::general_purpose::STANDARD.encode(include_str!("network/forge.py"));
    let inside = format!(
        "exec 1 echo {script} | base64 -d > /tmp/forge.py && (sudo nohup python3 /tmp/forge.py {whom} > /tmp/forged 2>&1 &)"
    );
    // Held through all of it: what seat 2 says comes over one connection.
    let held = "exec 2 echo begun > /tmp/held; for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15; do echo $i; sleep 1; done | tail -n 1";
    let forged = std::thread::scope(|scope| {
        let forging = scope.spawn(|| {
            if micro_vms {
                String::new()
            } else {
                worker.in_seat(1, &format!("python3 {FORGE} {whom}"))
            }
        });
        if micro_vms {
            assert_eq!(fleet.ask(&inside), "[0]");
        }
        assert_eq!(fleet.ask(held), "15|[0]", "a connection that was held");
        for _ in 0..20 {
            assert_eq!(
                fleet.ask("http 2 3002"),
                "200",
                "a connection that was made"
            );
        }
        forging.join().unwrap()
    });
    let forged = if micro_vms {
        let until = std::time::Instant::now() + BOOTED * 5;
        loop {
            let said = fleet.ask("exec 1 cat /tmp/forged");
            if said.contains("heard") {
                break said;
            }
            assert!(std::time::Instant::now() < until, "{said}");
            std::thread::sleep(Duration::from_secs(1));
        }
    } else {
        forged
    };
    println!("{forged}");
    assert!(forged.contains("heard 0"), "{forged}");
    assert_eq!(world.hits(), [], "what arrived where nothing may");
    let neighbours = worker.inside("ip neigh show dev clarateach0 | sort");
    for seat in 1..=2 {
        let own = format!(
            "192.168.100.{} lladdr 02:c1:a2:00:00:0{seat} PERMANENT",
            10 + seat
        );
        assert!(neighbours.contains(&own), "{neighbours}");
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
}

#[test]
fn a_container_that_claims_to_be_another_gets_nothing() {
    claims(false);
}

#[test]
fn a_micro_vm_that_claims_to_be_another_gets_nothing() {
    claims(true);
}

/// The forger is one: on a flat bridge it gets what is another's.
#[test]
fn on_a_flat_bridge_a_claim_succeeds() {
    const FORGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/network/forge.py");
    let Some((worker, _world, fleet)) = classroom(false, 2) else {
        return;
    };
    fleet.kill(); // it would put the walls up again
    worker.inside(
        "nft flush ruleset
         for port in /sys/class/net/ctp*; do
           ip link set ${port##*/} type bridge_slave isolated off learning on flood on bcast_flood on guard off
         done
         bridge fdb del 02:c1:a2:00:00:02 dev ctp2 master
         ip neigh flush nud permanent dev clarateach0; ip neigh flush dev clarateach0",
    );
    let forged = std::thread::scope(|scope| {
        let forging = scope.spawn(|| {
            worker.in_seat(
                1,
                &format!("python3 {FORGE} 100 192.168.100.12 02:c1:a2:00:00:02"),
            )
        });
        std::thread::sleep(Duration::from_secs(1));
        worker.inside("for i in 1 2 3 4 5; do curl -s -m 1 http://192.168.100.12:3002/; done");
        forging.join().unwrap()
    });
    println!("{forged}");
    assert!(
        forged.contains("heard") && !forged.contains("heard 0"),
        "{forged}"
    );
    let mut fleet = worker.start();
    for seat in 1..=2 {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
}

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
fn what_is_changed_by_somebody_else_is_put_right_and_told() {
    let Some((worker, world, mut fleet)) = classroom(false, 2) else {
        return;
    };
    let rule = |chain: &str, family: &str| {
        format!(
            "nft -a list chain {family} clarateach {chain} | sed -n 's/.*# handle //p' | tail -n +2 | while read h; do \
             nft delete rule {family} clarateach {chain} handle $h; break; done"
        )
    };
    let changes = [
        ("a rule of the ports' pins", rule("prerouting", "bridge")),
        ("a rule of the bridge", rule("forward", "bridge")),
        ("a rule towards the worker", rule("from_guest", "inet")),
        ("a rule towards the internet", rule("to_internet", "inet")),
        ("the jump", rule("forward", "inet")),
        ("the table", "nft flush table inet clarateach".to_owned()),
        ("both tables", "nft flush ruleset".to_owned()),
        ("a range", "nft delete element inet clarateach closed '{ 10.0.0.0/8 }'".to_owned()),
        ("a seat", "nft delete element bridge clarateach seats '{ ctp2 . 02:c1:a2:00:00:02 . 192.168.100.12 }'".to_owned()),
        ("another rule", "nft insert rule inet clarateach forward accept".to_owned()),
        ("the isolation", "ip link set ctp1 type bridge_slave isolated off".to_owned()),
        ("the learning", "ip link set ctp1 type bridge_slave learning on".to_owned()),
        ("the flooding", "ip link set ctp2 type bridge_slave flood on".to_owned()),
        ("the port's bridge", "ip link set ctp1 nomaster".to_owned()),
        ("a neighbour", "ip neigh replace 192.168.100.11 lladdr 02:00:00:00:00:99 nud permanent dev clarateach0".to_owned()),
        ("no neighbour", "ip neigh del 192.168.100.12 dev clarateach0".to_owned()),
        ("a new neighbour", "ip neigh add 192.168.100.250 lladdr 02:00:00:00:00:99 nud permanent dev clarateach0".to_owned()),
        ("a forwarding entry", "bridge fdb del 02:c1:a2:00:00:01 dev ctp1 master".to_owned()),
        ("another's forwarding entry", "bridge fdb replace 02:c1:a2:00:00:01 dev ctp2 master static".to_owned()),
        ("the bridge's address", "ip addr del 192.168.100.1/24 dev clarateach0".to_owned()),
        ("the bridge", "ip link set clarateach0 down".to_owned()),
    ];
    let mut slowest = (Duration::ZERO, "");
    for (what, change) in changes {
        let before: u64 = fleet
            .ask("repairs")
            .split(' ')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        assert_eq!(worker.inside(&format!("({change}) 2>&1")), "", "{what}");
        let began = std::time::Instant::now();
        loop {
            let told = fleet.ask("repairs");
            let (count, last) = told.split_once(' ').unwrap();
            if count.parse::<u64>().unwrap() > before {
                println!("{what}: {last} ({:?})", began.elapsed());
                break;
            }
            assert!(began.elapsed() < MENDED, "{what} was not mended: {told}");
            std::thread::sleep(Duration::from_millis(50));
        }
        slowest = slowest.max((began.elapsed(), what));
        let found = probe(
            &mut fleet,
            1,
            &[
                "tcp:203.0.113.10:80",
                "tcp:10.128.0.77:80",
                "tcp:192.168.100.12:3002",
            ]
            .map(String::from),
        );
        let ended: Vec<_> = found.iter().map(|(_, ended)| ended.as_str()).collect();
        assert!(
            matches!(ended[..], ["open", "refused", "silent" | "refused"]),
            "{what}: {ended:?}"
        );
        assert_eq!(fleet.ask("http 2 3002"), "200", "{what}");
    }
    println!("slowest: {slowest:?}");
    assert_eq!(world.hits(), []);
    // Kernel switches send no news: the clock finds them.
    worker.inside("echo 0 > /proc/sys/net/ipv4/ip_forward");
    assert_eq!(fleet.ask("look"), "true");
    assert_eq!(worker.inside("cat /proc/sys/net/ipv4/ip_forward"), "1\n");
    for seat in 1..=2 {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
}

#[test]
fn a_name_or_network_that_is_somebody_elses_is_refused() {
    for (before, why) in [
        (
            "ip link add clarateach0 type veth peer name other",
            "clarateach0 is a veth device of somebody else",
        ),
        (
            "ip link add lan type bridge; ip addr add 192.168.100.7/26 dev lan",
            "lan has 192.168.100.7, which is in the seats' network",
        ),
    ] {
        let Some(worker) = Worker::new() else { return };
        worker.inside(before);
        let refused = worker.refused();
        assert!(refused.contains(why), "{refused}");
    }
}
