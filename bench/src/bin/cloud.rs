//! How long does a class in the cloud take, beside what its cloud and its seats take?
//!
//! From `CreateWorkshop` to the control plane's word that all seats run, less what the fake
//! of Google takes for a VM: from its hearing of one to a running agent's process in it.
//! What is left is ours: asking, noticing, enrolling, starting seats. The peer is the seats'
//! own start: the same class on a worker of this box, from a ready worker to all running.
//! Both take turns.

#![allow(clippy::print_stdout, reason = "figures for people")]

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use async_trait::async_trait;
use clap::Parser;
use clarateach_bench::{Report, Row, Spread, process, report, stand};
use clarateach_e2e::{
    House,
    fake_gce::{Clock, Config, FakeGce, Kind, Machine, Machines, Pace, What},
    fake_metadata::Keys,
    house,
    vms::{Vms, addresses},
};
use clarateach_proto::workshop::{
    Resources, WatchWorkshopRequest, Worker, WorkerState, WorkshopStatus,
};

/// From the wish to a running class in the cloud, beside the seats' own start.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    report: Report,
    /// Sizes of class.
    #[arg(long, value_delimiter = ',', default_values_t = [5, 50])]
    seats: Vec<u32>,
    /// Rounds a size.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
}

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    report::run(measure(settings))
}

async fn measure(settings: Settings) -> anyhow::Result<()> {
    let Settings {
        report,
        seats,
        rounds,
    } = settings;
    report.title("CreateWorkshop to running in the cloud, less the VM's own start, seconds");
    if let Some(why) = house::missing() {
        println!("SKIPPED: cloud: {why}");
        return Ok(());
    }
    for count in seats {
        let (mut peer, mut project) = (Vec::new(), Vec::new());
        for round in 1..=rounds {
            let own = on_this_box(count).await?;
            let Class { vm, ready, running } = in_the_cloud(count).await?;
            let ours = running.saturating_sub(vm);
            println!(
                "{count:>2} seats, round {round}: seats' own start {:.2}; VM {:.2}, worker ready \
                 {:.2}, running {:.2}, ours {:.2}; load {}",
                own.as_secs_f64(),
                vm.as_secs_f64(),
                ready.as_secs_f64(),
                running.as_secs_f64(),
                ours.as_secs_f64(),
                process::load()
            );
            peer.push(own.as_secs_f64());
            project.push(ours.as_secs_f64());
        }
        let more = project.iter().zip(&peer).map(|(ours, own)| ours - own);
        report.row(&Row {
            what: &format!("{count} seats in the cloud, s (seats' own start)"),
            ratio: format!("{:.2} s more", Spread::of(more)),
            peer: format!("{:.2}", Spread::of(peer)),
            project: format!("{:.2}", Spread::of(project)),
            goal: "≤ 2 s more",
        })?;
    }
    Ok(())
}

/// Ready worker to running class.
async fn on_this_box(seats: u32) -> anyhow::Result<Duration> {
    let house = House::start_with(&[]).await;
    let (_, ready, running) = class(&house, seats).await?;
    house.close();
    Ok(running - ready)
}

/// A class in the cloud, each from the wish on.
struct Class {
    /// What the fake took for the VM.
    vm: Duration,
    ready: Duration,
    running: Duration,
}

async fn in_the_cloud(seats: u32) -> anyhow::Result<Class> {
    let disks = tempfile::Builder::new()
        .prefix("clarateach-e2e-vms-")
        .tempdir_in("/var/tmp")?;
    let booted = Arc::new(Booted {
        vms: Vms::new(disks.path(), Keys::google()),
        at: Mutex::default(),
    });
    let google = FakeGce::start(Config {
        addresses: addresses(),
        clock: Clock::Scaled(1.0),
        machines: booted.clone(),
        pace: Pace {
            pending: Duration::from_millis(200),
            boot: Duration::from_secs(1),
            shutdown: Duration::from_millis(500),
            other: Duration::from_millis(500),
            ..Pace::default()
        },
        ..Config::default()
    })
    .await;
    let house = House::start_before(&google, &[]).await;
    let zero = Instant::now()
        .checked_sub(google.now())
        .context("the fake is older than this machine")?;
    let (began, ready, running) = class(&house, seats).await?;
    google.quiet().await;
    house.close();
    let ledger = google.ledger();
    let asked = ledger.entries.iter().find(|entry| {
        let What::Request { kind, .. } = &entry.what else {
            return false;
        };
        *kind == Some(Kind::InsertInstance)
    });
    let asked = zero + asked.context("no VM was asked for")?.at;
    let booted = *booted.at.lock().expect("nobody panicked");
    let booted = booted.context("no VM came up")?;
    Ok(Class {
        vm: booted - asked,
        ready: ready - began,
        running: running - began,
    })
}

/// Notes when the only VM was up.
struct Booted {
    vms: Arc<Vms>,
    at: Mutex<Option<Instant>>,
}

#[async_trait]
impl Machines for Booted {
    async fn boot(&self, machine: &Machine) {
        self.vms.boot(machine).await;
        *self.at.lock().expect("nobody panicked") = Some(Instant::now());
    }

    async fn stop(&self, machine: &Machine) {
        self.vms.stop(machine).await;
    }

    async fn delete(&self, machine: &Machine) {
        self.vms.delete(machine).await;
    }
}

/// When a class was asked for, had all its workers, and ran; it is deleted then.
async fn class(house: &House, seats: u32) -> anyhow::Result<(Instant, Instant, Instant)> {
    let mut workshops = house.workshops().await;
    let began = Instant::now();
    let name = format!("cloud {seats}");
    let workshop = stand::create(&mut workshops, &name, seats, Resources::default()).await?;
    let request = WatchWorkshopRequest {
        id: workshop.id.clone(),
        ..Default::default()
    };
    let mut news = workshops.watch_workshop(request).await?.into_inner();
    let mut ready = None;
    let running = loop {
        let news = news.message().await?.context("the watch ended")?;
        let Some(now) = news.workshop else { continue };
        let up = |worker: &Worker| worker.state() == WorkerState::Ready;
        if ready.is_none() && !now.workers.is_empty() && now.workers.iter().all(up) {
            ready = Some(Instant::now());
        }
        let status = now.status();
        ensure!(status != WorkshopStatus::Failed, "failed: {}", now.reason);
        if status == WorkshopStatus::Running {
            break Instant::now();
        }
    };
    house.delete(&workshop.id).await;
    Ok((began, ready.context("running without a worker")?, running))
}
