//! What a workshop asked for is what a seat gets, and no more.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    os::fd::AsFd as _,
    thread,
    time::{Duration, Instant},
};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{BOOTED, FleetProcess, Worker, World, two_seats};

const LIMITS: &str = r#"{"network_mbits":16,"disk_mib_per_second":20,"processes":100}"#;
/// What that is, in bytes a second.
const RATE: u64 = 2_000_000;
/// Asked for by a seat in this time, it gets no more than it may, and a half.
const SECONDS: u64 = 4;

/// Bytes that the seat got from the world, and the world from the seat, when each
/// sent for [`SECONDS`] as fast as it could.
fn transfers(fleet: &mut FleetProcess, world: &World) -> (u64, u64) {
    let namespace = fs::File::open(format!("/run/netns/{}", world.name())).unwrap();
    let listener = thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        TcpListener::bind("203.0.113.10:9999").unwrap()
    });
    let listener = listener.join().unwrap();
    let sink = thread::spawn(move || {
        let (down, _) = listener.accept().unwrap();
        send(down);
        let (mut up, _) = listener.accept().unwrap();
        let (mut all, mut piece) = (0, vec![0; 64 << 10]);
        loop {
            match up.read(&mut piece).unwrap() {
                0 => return all,
                read => all += read as u64,
            }
        }
    });
    let script = format!(
        "python3 -c \"import socket,time
s=socket.create_connection(('203.0.113.10',9999));n=0
while True:
  d=s.recv(65536)
  if not d: break
  n+=len(d)
s=socket.create_connection(('203.0.113.10',9999));end=time.time()+{SECONDS}
while time.time()<end: s.sendall(b'x'*16384)
print(n)\""
    );
    let said = fleet.ask(&format!("exec 1 {}", script.replace('\n', "\u{1}")));
    let received = said
        .strip_suffix("|[0]")
        .unwrap_or_else(|| panic!("{said}"));
    (received.parse().unwrap(), sink.join().unwrap())
}

fn send(mut to: TcpStream) {
    let (until, piece) = (
        Instant::now() + Duration::from_secs(SECONDS),
        vec![7; 16 << 10],
    );
    while Instant::now() < until {
        to.write_all(&piece).unwrap();
    }
}

fn a_transfer_stays_within(micro_vms: bool) -> Option<(Worker, World, FleetProcess)> {
    let (worker, world, mut fleet) = two_seats(micro_vms, LIMITS)?;
    let (down, up) = transfers(&mut fleet, &world);
    println!("down {down} and up {up} of {} bytes", RATE * SECONDS);
    for (way, bytes) in [("down", down), ("up", up)] {
        assert!(bytes > 64 << 10, "{way}: {bytes} bytes");
        // What waits in queues at its end is sent as well.
        let most = RATE * SECONDS * 3 / 2 + (4 << 20);
        assert!(bytes < most, "{way}: {bytes} bytes of {most}");
    }
    Some((worker, world, fleet))
}

/// What a file of seat 1's cgroup says.
pub(crate) fn limit(worker: &Worker, controller: &str, file: &str) -> Option<String> {
    limit_of(worker, 1, controller, file)
}

/// The same of another slot's.
pub(crate) fn limit_of(worker: &Worker, slot: u32, controller: &str, file: &str) -> Option<String> {
    let group = format!("{}/s{slot}/{file}", worker.cgroup());
    let places = [
        format!("/sys/fs/cgroup/{controller}/{group}"),
        format!("/sys/fs/cgroup/{group}"),
    ];
    let text = places.iter().find_map(|path| fs::read_to_string(path).ok());
    text.map(|text| text.trim().to_owned())
}

#[test]
fn a_container_takes_what_its_workshop_asked_for_and_no_more() {
    let Some((worker, _world, mut fleet)) = a_transfer_stays_within(false) else {
        return;
    };
    assert_eq!(limit(&worker, "pids", "pids.max").unwrap(), "100");
    let weight = ("cpu.shares", "1024");
    if let Some(found) = limit(&worker, "cpu", weight.0) {
        assert_eq!(found, weight.1);
    }
    let disk = ["blkio.throttle.read_bps_device", "io.max"];
    let disk = disk.iter().find_map(|file| limit(&worker, "blkio", file));
    if worker.run_dir_has_a_device() {
        let disk = disk.unwrap_or_default();
        assert!(disk.contains("20971520"), "{disk:?}");
    } else {
        println!("SKIPPED in part: the seats' disks are on no device");
    }
    // Both ends of its port; the other seat has its own share.
    assert_eq!(rate(&worker.inside("tc qdisc show dev ctp1")), "16Mbit");
    assert_eq!(rate(&worker.in_seat(1, "tc qdisc show dev eth0")), "16Mbit");
    assert_ne!(rate(&worker.inside("tc qdisc show dev ctp2")), "16Mbit");

    // Its learner, who is root there, cannot take it away, and somebody else
    // who does is found out.
    let learner = fleet.ask("exec 1 sudo -n tc qdisc del dev eth0 root 2>&1 | wc -l");
    assert_ne!(learner, "0|[0]");
    for (change, found) in [
        ("del dev ctp1 root", "no limit"),
        (
            "change dev ctp1 root tbf rate 160mbit burst 1m limit 1m",
            "another limit",
        ),
        (
            "change dev ctp1 root tbf rate 16mbit burst 1m limit 256k",
            "another limit",
        ),
    ] {
        let before = repairs(&mut fleet);
        worker.inside(&format!("tc qdisc {change}"));
        let until = Instant::now() + BOOTED;
        while repairs(&mut fleet) == before {
            assert!(Instant::now() < until, "{change} was not put right");
        }
        assert_eq!(rate(&worker.inside("tc qdisc show dev ctp1")), "16Mbit");
        let told = fleet.ask("repairs");
        assert!(told.contains(&format!("port ctp1 had {found}")), "{told}");
    }

    // The next agent finds them, and a machine that is started again has them.
    fleet.kill();
    let mut fleet = worker.start();
    worker.inside("tc qdisc del dev ctp1 root");
    assert_eq!(fleet.ask("look"), "true");
    worker.kill_guest(1);
    fleet.wait_for("1 Ready i1 e1 r1", BOOTED);
    assert_eq!(rate(&worker.inside("tc qdisc show dev ctp1")), "16Mbit");
    assert_eq!(rate(&worker.in_seat(1, "tc qdisc show dev eth0")), "16Mbit");
    assert_eq!(limit(&worker, "pids", "pids.max").unwrap(), "100");
    for seat in [1, 2] {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
    drop(fleet);
    worker.assert_empty();
}

#[test]
fn a_micro_vm_takes_what_its_workshop_asked_for_and_no_more() {
    let Some((worker, _world, mut fleet)) = a_transfer_stays_within(true) else {
        return;
    };
    assert_eq!(rate(&worker.inside("tc qdisc show dev ctp1")), "16Mbit");
    // The VMM says what it was told: of a machine that was restored, too.
    let jail = "jails/firecracker/s1/root/run/firecracker.socket";
    let socket = worker.run_dir().join(jail);
    let said = worker.inside(&format!(
        "curl -s --unix-socket {} http://localhost/vm/config",
        socket.display()
    ));
    let config: serde_json::Value = serde_json::from_str(&said).unwrap();
    let network = &config["network-interfaces"][0];
    for way in ["rx_rate_limiter", "tx_rate_limiter"] {
        assert_eq!(network[way]["bandwidth"]["size"], RATE / 10, "{network}");
        assert_eq!(network[way]["bandwidth"]["refill_time"], 100, "{network}");
    }
    let drives = config["drives"].as_array().unwrap();
    let seat = drives
        .iter()
        .find(|drive| drive["drive_id"] == "seat")
        .unwrap();
    assert_eq!(
        seat["rate_limiter"]["bandwidth"]["size"],
        20 << 20,
        "{seat}"
    );
    for seat in [1, 2] {
        assert_eq!(fleet.ask(&format!("remove {seat}")), "ok");
    }
    drop(fleet);
    worker.assert_empty();
}

/// How often something was put right.
fn repairs(fleet: &mut FleetProcess) -> u64 {
    let told = fleet.ask("repairs");
    told.split(' ').next().unwrap().parse().unwrap()
}

/// The rate in what `tc` shows.
fn rate(shown: &str) -> &str {
    let words = shown.split_once(" rate ");
    words.map_or("none", |(_, rest)| rest.split(' ').next().unwrap())
}
