//! Claims of another's address, frame by frame.

use std::time::Duration;

use super::{BOOTED, classroom};

/// What a learner with all rights over their own interface does: `forge.py`.
fn claims(micro_vms: bool) {
    use base64::Engine as _;
    const FORGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/network/forge.py");
    let Some((worker, world, mut fleet)) = classroom(micro_vms, 2) else {
        return;
    };
    let whom = "100 192.168.100.12 02:c1:a2:00:00:02";
    // Where the learner is root there is no need to be more than that.
    let script = base64::engine::general_purpose::STANDARD.encode(include_str!("forge.py"));
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
        while !forging.is_finished() {
            worker.inside("curl -s -m 1 http://192.168.100.12:3002/");
        }
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
