//! An agent that is killed between its rules and its ports.

use super::{BOOTED, FleetProcess, Worker, World, probe, worker::Cut};

/// Kills the agent as soon as it has come so far, and says whether any port that is
/// up has nothing around it.
fn kill_at(worker: &Worker, fleet: FleetProcess, cut: Cut) {
    worker.cut(fleet, cut, BOOTED);
    let ports = worker.inside("ip -br link show up type veth | cut -d@ -f1");
    let rules = worker.inside("nft list ruleset");
    println!("{cut:?}: up {ports:?}");
    for port in ports.lines().filter(|name| name.starts_with("ctp")) {
        let flags = worker.inside(&format!("bridge -d link show dev {port}"));
        if flags.is_empty() {
            continue; // gone with the agent that held its other end
        }
        for pin in [
            "isolated on",
            "learning off",
            " flood off",
            "mcast_flood off",
        ] {
            assert!(
                flags.contains(pin),
                "{cut:?}: {port} without {pin}: {flags}"
            );
        }
        assert!(rules.contains("policy drop"), "{cut:?}: {rules}");
        assert!(rules.contains("\"ctp1\" . 02:c1:a2:00:00:01"), "{cut:?}");
    }
}

/// The seat answers and is shut in.
fn is_well(fleet: &mut FleetProcess, world: &World) {
    fleet.wait_for("1 Ready", BOOTED);
    let targets = [
        "tcp:203.0.113.10:80",
        "tcp:10.128.0.77:80",
        "tcp:192.168.100.1:9090",
    ];
    let found = probe(fleet, 1, &targets.map(String::from));
    let ended: Vec<_> = found.iter().map(|(_, ended)| ended.as_str()).collect();
    assert_eq!(ended, ["open", "refused", "silent"]);
    assert_eq!(world.hits(), []);
}

#[test]
fn an_agent_killed_between_rule_and_port_leaves_no_open_port() {
    const POLICY: &str = r#"egress {"mode":"internet"}"#;
    let Some(worker) = Worker::new() else { return };
    let world = World::behind(&worker);
    // Rules first, then ports: a worker's first start and its first seat.
    kill_at(&worker, worker.begin(), Cut::Rules);
    kill_at(&worker, worker.begin(), Cut::Bridge);
    for cut in [Cut::Port, Cut::Up] {
        let mut fleet = worker.start();
        assert_eq!(fleet.ask(POLICY), "ok");
        fleet.ask("ensure 1 1 1");
        kill_at(&worker, fleet, cut);
        let mut next = worker.start();
        next.ask("ensure 1 1 1");
        is_well(&mut next, &world);
        assert_eq!(next.ask("remove 1"), "ok");
    }
    // Ports first, then rules: a seat runs, and somebody took the rules away while
    // no agent was there to see it.
    let mut fleet = worker.start();
    fleet.ask("ensure 1 1 1");
    is_well(&mut fleet, &world);
    fleet.kill();
    worker.inside("nft flush ruleset");
    kill_at(&worker, worker.begin(), Cut::Rules);
    let mut fleet = worker.start();
    is_well(&mut fleet, &world);
    // And a seat that goes: its port is gone, the rules stand for the next one.
    assert_eq!(fleet.ask("remove 1"), "ok");
    assert!(worker.inside("nft list ruleset").contains("\"ctp1\""));
    assert_eq!(worker.inside("ip -br link | grep ctp"), "");
}
