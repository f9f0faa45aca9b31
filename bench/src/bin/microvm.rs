//! How long does a MicroVM take, and what does it cost in memory?
//!
//! The project's own fleet makes MicroVMs in a network namespace of this
//! program's own: cold, from being asked for to terminal and files answering;
//! then restored from a template. The peer of the cold one is bare
//! `firecracker --config-file` with what the project's own VMM says it is made
//! of (`GET /vm/config`): same kernel, disks, command line, devices; no jail, and
//! its clock stops as soon as its guest's control channel answers, before the
//! guest has an identity or a network: the harder peer. They take turns.
//!
//! Memory is PSS of the VMM, its guest idle with a shell at the prompt; of restored
//! ones it is by how much the last raises the sum over all, for PSS of one alone
//! has its part of what all share, which is there without it. The VMM's
//! own is what is not the guest's memory. Where KVM emulates ring 0, times are
//! good as ratios only, and that is printed.

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "figures for people"
)]

use std::{
    fs,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use clap::Parser;
use clarateach_agent::{
    fleet::{Fleet, FleetSettings},
    runtime::firecracker::FirecrackerSettings,
};
use clarateach_bench::{Report, Row, Spread, bare_vmm::BareVmm, report, vmm};
use clarateach_domain::{
    ids::SeatNo,
    microvm::{MicroVmSpec, MicroVmState, Resources, Runtime as RuntimeKind},
};
use clarateach_e2e::{house, micro_vms};
use futures_util::StreamExt;
use tokio::{
    runtime::Runtime,
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

/// MicroVMs cold and restored, beside bare firecracker.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    report: Report,
    /// Cold boots of each.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Seats restored, one after the other.
    #[arg(long, default_value_t = 8)]
    restored: u32,
    /// The network namespace is this program's own: it starts itself so.
    #[arg(long, hide = true)]
    inside: bool,
}

const MEMORY_MIB: u32 = 512;
const PATIENCE: Duration = Duration::from_mins(5);
/// A shell that says nothing for this long is at its prompt.
const QUIET: Duration = Duration::from_secs(3);

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    if settings.inside {
        return report::run(measure(settings));
    }
    if let Some(why) = house::missing().or_else(micro_vms::missing) {
        println!("SKIPPED: microvm: {why}");
        return Ok(());
    }
    let own = std::env::current_exe().context("could not find this program")?;
    let ended = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(own)
        .args(std::env::args_os().skip(1))
        .arg("--inside")
        .status()
        .context("unshare could not be started")?;
    ensure!(ended.success(), "the inner program ended with {ended}");
    Ok(())
}

async fn measure(settings: Settings) -> anyhow::Result<()> {
    let report = &settings.report;
    report.title("MicroVMs: asked for to answering, seconds; memory of a VMM");
    for arguments in [
        ["link", "set", "lo", "up"].as_slice(),
        &["link", "add", "up0", "type", "bridge"],
    ] {
        let done = Command::new("ip").args(arguments).status()?;
        ensure!(done.success(), "ip {} failed", arguments.join(" "));
    }
    let dir = tempfile::Builder::new()
        .prefix("clarateach-bench-")
        .tempdir_in("/var/tmp")?;
    let (rounds, seats) = (settings.rounds, settings.restored.max(2));
    let place = dir.path().to_owned();
    let (cold, bare, cold_memory) = alone(async move { cold(rounds, &place).await }).await?;
    let place = dir.path().to_owned();
    let (restored, memory) = alone(async move { restored(seats, &place).await }).await?;
    if micro_vms::emulated() {
        println!("KVM emulates ring 0 here: times are good as ratios only");
    }
    let row = |what: &str, peer: String, project: String, ratio: String, goal: &'static str| {
        report.row(&Row {
            what,
            peer,
            project,
            ratio,
            goal,
        })
    };
    row(
        "MicroVM cold, s (bare until its guest speaks)",
        format!("{:.2}", Spread::of(bare.clone())),
        format!("{:.2}", Spread::of(cold.clone())),
        format!("{:.2}", Spread::of_ratios(&cold, &bare)),
        "≤ 1.05",
    )?;
    let (was, is) = (Spread::of(cold), Spread::of(restored));
    row(
        "MicroVM restored, s (peer: our own cold boot)",
        format!("{was:.2}"),
        format!("{is:.2}"),
        format!("{:.0} x faster", was.median / is.median),
        "≥ 20 x",
    )?;
    row(
        "a further idle seat adds, PSS MiB (peer: cold-booted)",
        format!("{:.1}", mib(cold_memory.all)),
        format!("{:.1}", mib(memory.all)),
        format!("{:.2}", mib(memory.all) / mib(cold_memory.all)),
        "≤ 0.20, ≤ 24 MiB",
    )?;
    row(
        "a VMM's own memory, PSS MiB (restored)",
        "5.0 (its own word)".to_owned(),
        format!("{:.1}", mib(memory.own)),
        "–".to_owned(),
        "≤ 6 MiB",
    )
}

/// On a runtime of its own, which ends with it: a fleet is for the life of a
/// process, and serves names until then.
async fn alone<T: Send + 'static>(
    work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
) -> anyhow::Result<T> {
    tokio::task::spawn_blocking(move || Runtime::new()?.block_on(work)).await?
}

/// Cold boots, ours and bare ones in turn; and the memory of a cold one of ours.
async fn cold(rounds: u32, dir: &Path) -> anyhow::Result<(Vec<f64>, Vec<f64>, vmm::Memory)> {
    let run = dir.join("cold");
    let fleet = start(&run, true).await?;
    let (mut ours, mut bare, mut memory) = (Vec::new(), Vec::new(), vmm::Memory::default());
    for round in 1..=rounds {
        let took = ask(&fleet, 1).await?;
        if round == 1 {
            shell(&fleet, 1).await?;
            memory = vmm::memory(vmm::pid(&run, 1)?, MEMORY_MIB)?;
        }
        let machine = vmm::config(&run, 1)?;
        fleet.remove(seat(1), Duration::from_secs(5)).await?;
        let disk = run.join(format!("disk-{}.img", resources().disk_mib));
        let peer = BareVmm::prepare(&dir.join("bare"), &machine, &disk)?;
        let theirs = peer.boot(PATIENCE).await?;
        println!(
            "cold, round {round}: ours {:.2}, bare {:.2}",
            took.as_secs_f64(),
            theirs.as_secs_f64()
        );
        ours.push(took.as_secs_f64());
        bare.push(theirs.as_secs_f64());
    }
    Ok((ours, bare, memory))
}

/// Seats restored one after the other; and what the last adds to the memory of
/// all, which is what a further one costs the host.
async fn restored(last: u32, dir: &Path) -> anyhow::Result<(Vec<f64>, vmm::Memory)> {
    let run = dir.join("restored");
    let fleet = start(&run, false).await?;
    let made = ask(&fleet, 1).await?;
    println!("the first, with its template: {:.2}", made.as_secs_f64());
    let mut times = Vec::new();
    for number in 2..last {
        times.push(ask(&fleet, number).await?.as_secs_f64());
    }
    for number in 1..last {
        shell(&fleet, number).await?;
    }
    let before = sum(&run, last - 1)?;
    times.push(ask(&fleet, last).await?.as_secs_f64());
    shell(&fleet, last).await?;
    let after = sum(&run, last)?;
    let own = vmm::memory(vmm::pid(&run, last)?, MEMORY_MIB)?;
    println!(
        "the last one of {last}: PSS {:.1} MiB, of which the VMM's own {:.1}",
        mib(own.all),
        mib(own.own)
    );
    for number in 1..=last {
        fleet.remove(seat(number), Duration::from_secs(5)).await?;
    }
    let added = vmm::Memory {
        all: after.saturating_sub(before),
        own: own.own,
    };
    Ok((times, added))
}

/// PSS of the first so many seats together, KiB: what they share counts once.
fn sum(run: &Path, seats: u32) -> anyhow::Result<u64> {
    (1..=seats)
        .map(|number| Ok(vmm::memory(vmm::pid(run, number)?, MEMORY_MIB)?.all))
        .sum()
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

async fn start(run: &Path, cold_boot: bool) -> anyhow::Result<Fleet> {
    fs::create_dir_all(run)?;
    let folder = micro_vms::folder();
    let version = folder.file_name().unwrap_or_default().to_string_lossy();
    let settings = FleetSettings {
        run_dir: run.to_owned(),
        workshop: "ws-0123456789".parse().map_err(anyhow::Error::msg)?,
        runtime: RuntimeKind::Firecracker,
        images: house::images(),
        firecracker: FirecrackerSettings {
            firecracker: folder.join("firecracker"),
            jailer: folder.join("jailer"),
            kernel: None,
            boot_within: None,
            cold_boot,
            accepted_version: Some(version.into_owned()),
        },
        uid_base: 1_900_000_000,
        cgroup: "clarateach-bench".to_owned(),
        uplink: "up0".to_owned(),
        closed: vec![],
        nameservers: vec![],
        boots_at_once: 1,
    };
    Fleet::start(settings).await
}

fn resources() -> Resources {
    Resources {
        vcpus: 1,
        memory_mib: MEMORY_MIB,
        disk_mib: 512,
    }
}

fn seat(number: u32) -> SeatNo {
    SeatNo::try_from(number).unwrap_or_else(|_| unreachable!("seats are counted from one"))
}

/// Asks for a seat; how long until its terminal and files answered.
async fn ask(fleet: &Fleet, number: u32) -> anyhow::Result<Duration> {
    let spec = MicroVmSpec {
        seat: seat(number),
        slot: number.try_into().map_err(anyhow::Error::msg)?,
        incarnation: 1,
        epoch: 1,
        resources: resources(),
        limits: clarateach_domain::limits::Asked::default(),
        seats_on_worker: 1,
        template: "base".to_owned(),
        env: [].into(),
        workshop_name: "Bench".to_owned(),
    };
    let mut list = fleet.watch();
    let began = Instant::now();
    fleet.ensure(spec).await?;
    let ready = list.wait_for(|all| {
        let found = all.iter().find(|vm| vm.seat == seat(number));
        found.is_some_and(|vm| matches!(vm.state, MicroVmState::Ready | MicroVmState::Failed))
    });
    let all = timeout(PATIENCE, ready)
        .await
        .context("no seat in time")??;
    let took = began.elapsed();
    match all.iter().find(|vm| vm.seat == seat(number)) {
        Some(vm) if vm.state == MicroVmState::Ready => Ok(took),
        Some(vm) => bail!("seat {number} failed: {}", vm.reason),
        None => bail!("seat {number} went"),
    }
}

/// Opens a terminal, waits for its prompt and leaves: the shell stays.
async fn shell(fleet: &Fleet, number: u32) -> anyhow::Result<()> {
    let door = fleet.door(seat(number)).context("the seat has no door")?;
    let url = format!("ws://{}:3001/terminal?cols=80&rows=24", door.address);
    let mut request = url.into_client_request()?;
    let headers = request.headers_mut();
    headers.insert("clarateach-secret", door.secret.parse()?);
    headers.insert("clarateach-viewer", "bench;drive".parse()?);
    let tcp = tokio::net::TcpStream::connect((door.address, 3001)).await?;
    let (mut socket, _) = tokio_tungstenite::client_async(request, tcp).await?;
    let mut said = false;
    // Quiet counts only after the first word.
    while let Ok(frame) = timeout(if said { QUIET } else { PATIENCE }, socket.next()).await {
        frame.context("the terminal ended")??;
        said = true;
    }
    drop(socket);
    sleep(QUIET).await;
    Ok(())
}
