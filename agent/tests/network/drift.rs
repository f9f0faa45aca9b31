//! What somebody else changes on a worker, or has there already.

use std::time::Duration;

use super::{Worker, classroom, probe};

/// Ten times the five seconds in which drift is mended.
const MENDED: Duration = Duration::from_secs(50);

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
        ("the IPv6 of a port, and news of it", "echo 0 > /proc/sys/net/ipv6/conf/ctp2/disable_ipv6; ip link set ctp1 type bridge_slave learning on".to_owned()),
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
    assert_eq!(
        worker.inside("cat /proc/sys/net/ipv6/conf/ctp2/disable_ipv6"),
        "1\n"
    );
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
