//! A seat does its worst; the other's terminal answers, and the first can be had
//! anew.

use std::{
    fs,
    os::unix::fs::MetadataExt as _,
    time::{Duration, Instant},
};

use super::{FleetProcess, Worker, booted, shares::limit, two_seats};

/// How long each noise is listened to.
const LASTS: Duration = Duration::from_secs(4);

/// What a learner can do to a machine, each until it is ended with its seat.
#[derive(Debug, Clone, Copy)]
enum Noise {
    Forks,
    Disk,
    Packets,
    Log,
}

impl Noise {
    /// One line; each end of a line in it is \u{1}.
    fn command(self, micro_vm: bool) -> String {
        let command = match self {
            Self::Forks => "bomb() { bomb | bomb & }; bomb > /dev/null 2>&1 &",
            Self::Disk => {
                "(while :; do head -c 1G /dev/zero > fill; sync; rm fill; done) > /dev/null 2>&1 &"
            }
            Self::Packets => {
                "for i in 1 2; do python3 -c \"import socket
while True:
  s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
  for to in [('192.168.100.1',53),('203.0.113.10',9),('10.1.2.3',9)]*99:
    try: s.sendto(b'x',to)
    except OSError: pass\" > /dev/null 2>&1 & done"
            }
            Self::Log if micro_vm => {
                "sudo -n sh -c 'yes nothing but noise > /dev/console' > /dev/null 2>&1 &"
            }
            // Nobody in a container may, not even its root: that is the whole story.
            Self::Log => "! sudo -n sh -c 'echo noise > /proc/1/fd/1' 2> /dev/null",
        };
        command.replace('\n', "\u{1}")
    }

    /// Whether it is at work, by what the host sees of it.
    fn works(self, worker: &Worker, fleet: &mut FleetProcess, micro_vm: bool) -> bool {
        match self {
            // In a MicroVM only its own kernel sees them.
            Self::Forks => {
                micro_vm || limit(worker, "pids", "pids.events").is_some_and(|said| said != "max 0")
            }
            Self::Disk => {
                let disk = fs::metadata(worker.run_dir().join("seats/1/disk.img"));
                disk.is_ok_and(|disk| disk.blocks() * 512 > 16 << 20)
            }
            Self::Packets => {
                let sent = worker.inside("cat /sys/class/net/ctp1/statistics/rx_packets");
                sent.trim().parse::<u64>().is_ok_and(|sent| sent > 500)
            }
            Self::Log => !micro_vm || !fleet.ask("log-has 1 nothing but noise").starts_with("0 "),
        }
    }
}

fn noises_leave_the_others(micro_vms: bool) {
    let Some((worker, _world, mut fleet)) = two_seats(micro_vms, "{}") else {
        return;
    };
    let noises = [Noise::Forks, Noise::Disk, Noise::Packets, Noise::Log];
    for (life, noise) in (2..).zip(noises) {
        let name = format!("{noise:?}");
        let began = Instant::now();
        let command = noise.command(micro_vms);
        assert_eq!(fleet.ask(&format!("exec 1 {command}")), "[0]", "{name}");
        // It goes on until its seat is made anew.
        let (mut times, mut works) = (0, false);
        while !works || began.elapsed() < LASTS {
            assert!(began.elapsed() < booted(micro_vms), "{name} is no noise");
            answers(&mut fleet, 2, &name);
            times += 1;
            works = works || noise.works(&worker, &mut fleet, micro_vms);
        }
        println!("{name}: seat 2 answered {times} times");
        // The same slot, another life.
        fleet.ask(&format!("ensure 1 1 {life}"));
        fleet.wait_for(&format!("1 Ready i{life}"), booted(micro_vms));
        answers(&mut fleet, 1, &name);
        answers(&mut fleet, 2, &name);
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
