//! A seat does its worst; the other's terminal answers, and the first can be had
//! anew.

use std::time::{Duration, Instant};

use super::{FleetProcess, booted, shares::limit, two_seats};

/// How long each noise is listened to.
const LASTS: Duration = Duration::from_secs(4);

/// What a learner can do to a machine, each until it is ended with its seat.
const NOISES: [(&str, &str); 4] = [
    (
        "a fork bomb",
        "bomb() { bomb | bomb & }; bomb > /dev/null 2>&1 &",
    ),
    (
        "a disk that fills",
        "(while :; do head -c 1G /dev/zero > fill; sync; rm fill; done) > /dev/null 2>&1 &",
    ),
    (
        "a flood of packets",
        "for i in 1 2; do python3 -c \"import socket
while True:
  s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
  for to in [('192.168.100.1',53),('203.0.113.10',9),('10.1.2.3',9)]*99:
    try: s.sendto(b'x',to)
    except OSError: pass\" > /dev/null 2>&1 & done",
    ),
    (
        "a flood of the log",
        "sudo -n sh -c 'yes nothing but noise > /proc/1/fd/1' > /dev/null 2>&1 &",
    ),
];

fn noises_leave_the_others(micro_vms: bool) {
    let Some((worker, _world, mut fleet)) = two_seats(micro_vms, "{}") else {
        return;
    };
    for (number, (name, noise)) in NOISES.iter().enumerate() {
        let began = Instant::now();
        assert_eq!(
            fleet.ask(&format!("exec 1 {}", noise.replace('\n', "\u{1}"))),
            "[0]",
            "{name}"
        );
        // It goes on until its seat is made anew.
        let mut times = 0;
        loop {
            answers(&mut fleet, 2, name);
            times += 1;
            if began.elapsed() >= LASTS {
                break;
            }
        }
        println!("{name}: seat 2 answered {times} times");
        if number == 0 && !micro_vms {
            // Its processes were many, and no more than it may have.
            let refused = limit(&worker, "pids", "pids.events").unwrap();
            assert_ne!(refused, "max 0");
        }
        // The same slot, another life.
        let life = number + 2;
        fleet.ask(&format!("ensure 1 1 {life}"));
        fleet.wait_for(&format!("1 Ready i{life}"), booted(micro_vms));
        answers(&mut fleet, 1, name);
        answers(&mut fleet, 2, name);
    }
    for seat in [1, 2] {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
    drop(fleet);
    worker.assert_empty();
}

/// Both of the seat's ports and a command, each within a deadline of its own.
fn answers(fleet: &mut FleetProcess, seat: u32, beside: &str) {
    for port in [3001, 3002] {
        let answer = fleet.ask(&format!("http {seat} {port}"));
        assert_eq!(answer, "200", "port {port} of seat {seat} beside {beside}");
    }
    let said = fleet.ask(&format!("exec {seat} echo here"));
    assert_eq!(said, "here|[0]", "seat {seat} beside {beside}");
}

#[test]
fn containers_beside_a_noisy_one_answer_and_it_can_be_had_anew() {
    noises_leave_the_others(false);
}

#[test]
fn micro_vms_beside_a_noisy_one_answer_and_it_can_be_had_anew() {
    noises_leave_the_others(true);
}
