//! What a seat reaches: the matrix, and that it finds something where there is
//! something to find.

use std::time::Instant;

use super::{
    PROBE, classroom, ended, probing, putting,
    world::{CLOSED, EXTERNAL, UPLINK},
};

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
            // A redirect that is followed is the same as having gone there.
            "get:203.0.113.10:80",
            "name:vm.c.project.internal",
            "name:metadata.google.internal",
        ]
        .map(String::from),
    );
    assert!(all.contains(&format!("tcp:{EXTERNAL}:9090")));
    all
}

/// How a way that is shut may end.
const SHUT: [&str; 10] = [
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

/// The whole matrix, all seats at once.
fn matrix(micro_vms: bool, seats: u32) {
    let began = Instant::now();
    let Some((_worker, world, mut fleet)) = classroom(micro_vms, seats) else {
        return;
    };
    let booted = began.elapsed();
    let puts: Vec<_> = (1..=seats).map(putting).collect();
    for put in fleet.ask_together(&puts) {
        assert_eq!(put, "201", "the probe");
    }
    let wanted = wanted();
    let probes: Vec<_> = (1..=seats)
        .map(|seat| {
            let targets = wanted.iter().map(|(target, _)| target.clone());
            let targets: Vec<_> = targets.chain(forbidden(seat, seats)).collect();
            // An emulated guest is slow.
            let within = if micro_vms { 30 } else { 6 };
            probing(seat, &format!("{within}:{}", wanted.len()), &targets)
        })
        .collect();
    for (seat, said) in (1..).zip(fleet.ask_together(&probes)) {
        judge(seat, &wanted, &ended(seat, &said));
    }
    let tried = began.elapsed();
    for answer in fleet.ask_together(&each(seats, "http N 3002")) {
        assert_eq!(answer, "200", "agent to seat");
    }
    println!(
        "{seats} seats: ready {booted:?}, tried {tried:?}, all {:?}",
        began.elapsed()
    );
    assert_eq!(world.hits(), [], "what arrived where nothing may");
    for removed in fleet.ask_together(&each(seats, "remove N")) {
        assert_eq!(removed, "ok");
    }
    // Seats that come and go are no drift.
    assert_eq!(fleet.ask("look"), "true");
    assert_eq!(fleet.ask("repairs"), "0 ;");
}

/// The line, for each seat in place of N.
fn each(seats: u32, line: &str) -> Vec<String> {
    let lines = (1..=seats).map(|seat| line.replace('N', &seat.to_string()));
    lines.collect()
}

/// What a seat is for works, and nothing else does.
fn judge(seat: u32, wanted: &[(String, &str)], found: &[(String, String)]) {
    for ((target, want), (tried, ended)) in wanted.iter().zip(found) {
        assert_eq!((target, *want), (tried, ended.as_str()), "seat {seat}");
    }
    for (target, ended) in &found[wanted.len()..] {
        let shut = SHUT.contains(&ended.as_str());
        assert!(shut, "seat {seat}: {target} is {ended}");
    }
    let refused = |target: &str| found.iter().any(|(t, e)| t == target && e == "refused");
    assert!(
        refused("tcp:10.128.0.77:80"),
        "a refusal, not a hang: {found:?}"
    );
}

#[test]
fn a_container_reaches_the_internet_and_nothing_else() {
    matrix(false, 5);
}

#[test]
fn a_micro_vm_reaches_the_internet_and_nothing_else() {
    matrix(true, 5);
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
    let found = worker.in_seat(
        1,
        &format!(
            "{PROBE} 3 tcp:169.254.169.254:80 tcp:10.128.0.77:80 \
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
