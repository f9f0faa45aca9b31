//! What do the walls around seats cost?
//!
//! How long a change of the whole rule set for two hundred seats takes, whether
//! a port costs more the more there are, and how fast one seat gets data out
//! through all rules: beside the flat bridge of a lab, which has none, in the same
//! run and by turns. The world outside is a namespace of the bench's own.

#![allow(clippy::print_stdout, reason = "figures for people")]

use std::{
    fs::File,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use clap::Parser;
use clarateach_agent::network::{Network, RuleSettings, Walls};
use clarateach_bench::{Report, Row, Spread, report};
use clarateach_domain::{egress::Egress, ids::Slot};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// The rules of two hundred seats, and a seat's way out beside a flat bridge.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    report: Report,
    /// Rounds.
    #[arg(long, default_value_t = 7)]
    rounds: u32,
    /// How long data flows in each, in seconds.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
}

/// The widest there is: the walls are measured, and not a seat's share.
const MBITS: u32 = 32_000;
const SINK: (Ipv4Addr, u16) = (Ipv4Addr::new(203, 0, 113, 10), 9999);
/// Worker, the lab's worker, and a world behind each.
const NAMES: [&str; 4] = ["ctbw", "ctbf", "ctbww", "ctbfw"];

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    report::run(async move { tokio::task::spawn_blocking(move || measure(&settings)).await? })
}

fn measure(settings: &Settings) -> anyhow::Result<()> {
    settings.report.title("walls around seats");
    if !rustix::process::geteuid().is_root() {
        println!("SKIPPED: network: needs root");
        return Ok(());
    }
    let _ground = Ground::make()?;
    let folder = tempfile::tempdir()?;
    let note = folder.path().join("egress.json");
    let walls = inside("ctbw", move || {
        let rules = RuleSettings {
            uplink: "up0".to_owned(),
            closed: Vec::new(),
        };
        Ok(Walls::raise(rules, note)?)
    })?;
    changes(settings, &walls)?;
    ports(settings, walls.network())?;
    flow(settings, walls.network())
}

/// The whole rule set, made anew.
fn changes(settings: &Settings, walls: &Walls) -> anyhow::Result<()> {
    let (walls, rounds) = (walls.clone(), settings.rounds);
    let took = inside("ctbw", move || {
        (0..rounds)
            .map(|round| {
                let began = Instant::now();
                let even = round.is_multiple_of(2);
                walls.set_egress(if even {
                    &Egress::None
                } else {
                    &Egress::Internet
                })?;
                Ok(began.elapsed().as_secs_f64() * 1e3)
            })
            .collect::<anyhow::Result<Vec<_>>>()
            .and_then(|took| {
                walls.set_egress(&Egress::Internet)?;
                Ok(took)
            })
    })?;
    settings.report.row(&Row {
        what: "another policy for 200 seats, ms",
        peer: "–".into(),
        project: format!("{:.1}", Spread::of(took)),
        ratio: "–".into(),
        goal: "≤ 100, one transaction",
    })
}

/// One port more, where there is none and where there are 199.
fn ports(settings: &Settings, network: Network) -> anyhow::Result<()> {
    let rounds = settings.rounds;
    let (alone, last) = inside("ctbw", move || {
        let port = |number: u32| -> anyhow::Result<_> {
            let began = Instant::now();
            let port = network.open_port(Slot::try_from(number)?, MBITS)?;
            Ok((port, began.elapsed().as_secs_f64() * 1e3))
        };
        let times = || {
            (0..rounds)
                .map(|_| Ok(port(200)?.1))
                .collect::<anyhow::Result<Vec<_>>>()
        };
        let alone = times()?;
        let others = (1..200).map(port).collect::<anyhow::Result<Vec<_>>>()?;
        let last = times()?;
        drop(others);
        Ok((alone, last))
    })?;
    settings.report.row(&Row {
        what: "a port more, ms (first, 200th)",
        ratio: format!("{:.2}", Spread::of_ratios(&last, &alone)),
        peer: format!("{:.2}", Spread::of(alone)),
        project: format!("{:.2}", Spread::of(last)),
        goal: "does not grow",
    })
}

/// A seat's data on its way out.
fn flow(settings: &Settings, network: Network) -> anyhow::Result<()> {
    let port = inside("ctbw", move || {
        Ok(network.open_port(Slot::try_from(1)?, MBITS)?)
    })?;
    let (mut flat, mut walled) = (Vec::new(), Vec::new());
    for round in 1..=settings.rounds {
        let lab = stream("/run/netns/ctbfs", "ctbfw", settings.seconds)?;
        let ours = stream(&port.path(), "ctbww", settings.seconds)?;
        println!("round {round}: flat {lab:.0} MB/s, walled {ours:.0} MB/s");
        flat.push(lab);
        walled.push(ours);
    }
    settings.report.row(&Row {
        what: "seat to uplink, MB/s (flat bridge)",
        ratio: format!("{:.2}", Spread::of_ratios(&walled, &flat)),
        peer: format!("{:.0}", Spread::of(flat)),
        project: format!("{:.0}", Spread::of(walled)),
        goal: "≥ 0.95",
    })
}

/// Sends as fast as it goes, from a seat to a world; megabytes a second.
fn stream(seat: &str, world: &'static str, seconds: u64) -> anyhow::Result<f64> {
    let listener = inside(world, || {
        TcpListener::bind(SINK).context("could not listen in the world")
    })?;
    let sink = thread::spawn(move || -> std::io::Result<u64> {
        let (mut client, _) = listener.accept()?;
        let (mut all, mut piece) = (0, vec![0; 256 * 1024]);
        loop {
            match client.read(&mut piece)? {
                0 => return Ok(all),
                read => all += read as u64,
            }
        }
    });
    let took = within(seat, move || {
        let mut stream = TcpStream::connect(SINK).context("the world cannot be reached")?;
        let (began, piece) = (Instant::now(), vec![7; 256 * 1024]);
        while began.elapsed() < Duration::from_secs(seconds) {
            stream.write_all(&piece)?;
        }
        Ok(began.elapsed())
    })?;
    let all = sink
        .join()
        .map_err(|_| anyhow::anyhow!("the sink panicked"))??;
    #[allow(clippy::cast_precision_loss, reason = "a figure for people")]
    Ok(all as f64 / 1e6 / took.as_secs_f64())
}

fn inside<T: Send + 'static>(
    name: &str,
    act: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    within(&format!("/run/netns/{name}"), act)
}

/// On a thread in that network namespace.
fn within<T: Send + 'static>(
    path: &str,
    act: impl FnOnce() -> anyhow::Result<T> + Send + 'static,
) -> anyhow::Result<T> {
    let network = File::open(path).with_context(|| format!("could not open {path}"))?;
    let thread = thread::spawn(move || {
        move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
        act()
    });
    thread
        .join()
        .map_err(|_| anyhow::anyhow!("a thread panicked"))?
}

/// Both workers, each with a world behind its uplink; the lab's has its seat, too.
struct Ground;

impl Ground {
    fn make() -> anyhow::Result<Self> {
        let ground = Self;
        remove();
        let mut script = String::from("set -e\n");
        for (worker, world) in [("ctbw", "ctbww"), ("ctbf", "ctbfw")] {
            script += "ip netns add WORLD; ip netns add WORKER
                ip -n WORKER link add up0 type veth peer name w0 netns WORLD
                ip -n WORKER link set lo up; ip -n WORLD link set lo up
                ip -n WORKER addr add 198.51.100.2/24 dev up0
                ip -n WORLD addr add 198.51.100.1/24 dev w0
                ip -n WORLD addr add 203.0.113.10/32 dev lo
                ip -n WORKER link set up0 up; ip -n WORLD link set w0 up
                ip -n WORKER route add default via 198.51.100.1\n"
                .replace("WORKER", worker)
                .replace("WORLD", world)
                .as_str();
        }
        script += "ip netns add ctbfs
            ip -n ctbf link add br0 type bridge
            ip -n ctbf addr add 192.168.100.1/24 dev br0
            ip -n ctbf link set br0 up
            ip -n ctbf link add seat type veth peer name eth0 netns ctbfs
            ip -n ctbf link set seat master br0 up
            ip -n ctbfs link set lo up
            ip -n ctbfs addr add 192.168.100.11/24 dev eth0
            ip -n ctbfs link set eth0 up
            ip -n ctbfs route add default via 192.168.100.1
            ip netns exec ctbf sysctl -qw net.ipv4.ip_forward=1
            ip netns exec ctbf nft add table ip lab
            ip netns exec ctbf nft 'add chain ip lab out { type nat hook postrouting priority 100; }'
            ip netns exec ctbf nft add rule ip lab out oifname up0 masquerade\n";
        let made = Command::new("sh").args(["-c", &script]).output()?;
        let said = String::from_utf8_lossy(&made.stderr);
        ensure!(made.status.success(), "could not make the ground: {said}");
        Ok(ground)
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        remove();
    }
}

fn remove() {
    for name in NAMES.iter().chain(&["ctbfs"]) {
        let _gone = Command::new("ip").args(["netns", "del", name]).output();
    }
}
