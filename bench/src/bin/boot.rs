//! How long until a whole class can work?
//!
//! From the moment the control plane says that the worker is ready to the
//! moment a client has opened every seat's terminal and listed every seat's
//! files, through TLS; what it took until the worker was ready is printed
//! apart. The peer is `runc run` of the same root filesystem with the very
//! configuration that the agent wrote (same namespaces, limits and system-call
//! filter), as many at once: once until the unconfigured guest inside answers
//! anything on both ports (no shell is started: the harder peer), once until it
//! has done the same as ours (a terminal open, its shell started, files listed).
//!
//! Fair, in the peer's favour: its overlays and networks are made before its
//! clock starts (how long that takes is printed) and its client speaks no TLS.
//! Peer and project take turns.

#![allow(clippy::print_stdout, reason = "figures for people")]

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Parser;
use clarateach_bench::{
    Report, Route, Row, Spread, Way,
    bare::{Bare, Until},
    process, report, stand,
    way::Body,
};
use clarateach_e2e::{House, house, learner::Learner};
use clarateach_proto::workshop::{
    Resources, SeatState, WatchWorkshopRequest, Worker, WorkerState, Workshop, WorkshopStatus,
};
use futures_util::{StreamExt as _, future, stream::FuturesUnordered};
use http::Method;
use http_body_util::Empty;
use serde_json::Value;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// Worker ready to every seat answering, beside bare `runc run`.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    report: Report,
    /// Sizes of class.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 5, 20, 50])]
    seats: Vec<u32>,
    /// Rounds a size.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// Containers the peer runs at once; 0 for as many as the agent boots.
    #[arg(long, default_value_t = 0)]
    at_once: usize,
}

/// As in `agent/src/agent.rs`: boots at once for each processor.
const BOOTS_PER_CPU: usize = 2;
const PATIENCE: Duration = Duration::from_mins(2);

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    report::run(measure(settings))
}

async fn measure(settings: Settings) -> anyhow::Result<()> {
    let Settings {
        report,
        seats,
        rounds,
        at_once,
    } = settings;
    report.title("worker ready to every seat's terminal and files, seconds");
    if let Some(why) = house::missing() {
        println!("SKIPPED: boot: {why}");
        return Ok(());
    }
    let cpus = std::thread::available_parallelism()?.get();
    let at_once = if at_once == 0 {
        cpus * BOOTS_PER_CPU
    } else {
        at_once
    };
    let mut house = House::start_with(&[]).await;
    let mut each = Vec::new();
    for count in seats {
        let (mut peer, mut peer_open, mut project) = (Vec::new(), Vec::new(), Vec::new());
        for round in 1..=rounds {
            let booted = class(&house, count).await?;
            let (rootfs, template) = (house::images(), booted.template);
            let prepared = Instant::now();
            let (answers, open, preparing) = tokio::task::spawn_blocking(move || {
                let name = std::fs::read_to_string(rootfs.join("current"))?;
                let bare = Bare::prepare(&template, &rootfs.join(name.trim()), count)?;
                let preparing = prepared.elapsed();
                let answers = run(&bare, at_once, Until::Answers)?;
                bare.stop();
                let open = run(&bare, at_once, Until::Open)?;
                anyhow::Ok((answers, open, preparing))
            })
            .await??;
            println!(
                "{count:>2} seats, round {round}: worker {:.2}, running {:.2}, answering {:.2}; \
                 bare answers {:.2}, open {:.2} (prepared in {:.2}); load {}",
                booted.worker.as_secs_f64(),
                booted.running.as_secs_f64(),
                booted.answering.as_secs_f64(),
                answers.as_secs_f64(),
                open.as_secs_f64(),
                preparing.as_secs_f64(),
                process::load()
            );
            peer.push(answers.as_secs_f64());
            peer_open.push(open.as_secs_f64());
            project.push(booted.answering.as_secs_f64());
        }
        let goal = if count >= 20 { "≤ 1.3" } else { "–" };
        for (against, peer) in [("any answer", peer), ("the same", peer_open)] {
            report.row(&Row {
                what: &format!("{count} seats, s (bare until {against})"),
                ratio: format!("{:.2}", Spread::of_ratios(&project, &peer)),
                peer: format!("{:.2}", Spread::of(peer)),
                project: format!("{:.2}", Spread::of(project.clone())),
                goal,
            })?;
        }
        let median = Spread::of(project).median;
        each.push(format!("{count}: {:.0}", median * 1e3 / f64::from(count)));
    }
    report.row(&Row {
        what: "a seat's share, ms",
        peer: "–".into(),
        project: each.join(", "),
        ratio: "–".into(),
        goal: "flat from 5 to 50",
    })?;
    house.down();
    Ok(())
}

/// runc 1.1 fails to start a container now and then: tried again, and said.
fn run(bare: &Bare, at_once: usize, until: Until) -> anyhow::Result<Duration> {
    let mut ran = bare.run(at_once, until);
    for _ in 0..3 {
        let Err(why) = &ran else { break };
        println!("bare: {why:#}; again");
        bare.stop();
        ran = bare.run(at_once, until);
    }
    ran
}

/// How long a class took, and how its seats are configured.
struct Booted {
    /// From the wish to a ready worker.
    worker: Duration,
    /// From there to the control plane's word that all run.
    running: Duration,
    /// From there to the last answer of the last seat.
    answering: Duration,
    template: Value,
}

async fn class(house: &House, seats: u32) -> anyhow::Result<Booted> {
    let mut workshops = house.workshops().await;
    let began = Instant::now();
    let name = format!("boot {seats}");
    let workshop = stand::create(&mut workshops, &name, seats, Resources::default()).await?;
    let id = &workshop.id;
    let (tell, news) = mpsc::unbounded_channel();
    // While the worker starts, so that tokens are there when the seats are.
    let joins = (0..seats).map(|number| {
        let code = &workshop.code;
        async move { house.join(code, &format!("learner {number}")).await }
    });
    let learn = async {
        let learners = future::try_join_all(joins).await?;
        tokio::time::timeout(PATIENCE, answers(house, &learners, news))
            .await
            .context("the class did not answer in time")?
    };
    let ((), times) = tokio::try_join!(watch(house, id, tell), learn)?;
    let worker = stand::worker(house, &house.workshop(id).await)?;
    let config = worker.dir.join("run/seats/1/bundle/config.json");
    let text = std::fs::read_to_string(&config)
        .with_context(|| format!("could not read {}", config.display()))?;
    house.delete(id).await;
    Ok(Booted {
        worker: times.ready - began,
        running: times.running - times.ready,
        answering: times.answered - times.ready,
        template: serde_json::from_str(&text)?,
    })
}

/// What the control plane says, and when it was heard.
type News = (Instant, Workshop);

/// Passes on what the control plane says, until the class runs.
async fn watch(house: &House, id: &str, tell: UnboundedSender<News>) -> anyhow::Result<()> {
    let request = WatchWorkshopRequest {
        id: id.to_owned(),
        ..Default::default()
    };
    let mut workshops = house.workshops().await;
    let mut news = workshops.watch_workshop(request).await?.into_inner();
    while let Some(news) = news.message().await? {
        let Some(now) = news.workshop else { continue };
        let status = now.status();
        ensure!(
            status != WorkshopStatus::Failed,
            "the class failed: {}",
            now.reason
        );
        let _ended = tell.send((Instant::now(), now));
        if status == WorkshopStatus::Running {
            return Ok(());
        }
    }
    anyhow::bail!("the watch ended before the class ran")
}

struct Times {
    ready: Instant,
    running: Instant,
    answered: Instant,
}

/// Opens each seat's terminal and lists its files as soon as the seat is said to
/// be ready, as its learner does.
async fn answers(
    house: &House,
    learners: &[Learner],
    mut news: UnboundedReceiver<News>,
) -> anyhow::Result<Times> {
    let (mut ready, mut running) = (None, None);
    let mut open = BTreeSet::new();
    let mut opening = FuturesUnordered::new();
    while running.is_none() || !opening.is_empty() {
        tokio::select! {
            Some((at, now)) = news.recv() => {
                let up = |worker: &Worker| worker.state() == WorkerState::Ready;
                if ready.is_none() && !now.workers.is_empty() && now.workers.iter().all(up) {
                    ready = Some(at);
                }
                for seat in &now.seat_list {
                    if seat.state() == SeatState::Ready && open.insert(seat.seat) {
                        let learner = learners.iter().find(|learner| learner.seat() == seat.seat);
                        let learner = learner.context("a seat without a learner")?;
                        opening.push(answer(Route::of(&now, &stand::worker(house, &now)?, learner, Way::Project)?));
                    }
                }
                if now.status() == WorkshopStatus::Running {
                    running = Some(at);
                }
            }
            Some(done) = opening.next() => done?,
        }
    }
    ensure!(
        open.len() == learners.len(),
        "only {} seats came",
        open.len()
    );
    Ok(Times {
        ready: ready.context("running without a worker")?,
        running: running.context("never running")?,
        answered: Instant::now(),
    })
}

async fn answer(route: Route) -> anyhow::Result<()> {
    let files = async {
        let body = Body::new(Empty::<Bytes>::new());
        let request = route.request(Method::GET, &route.file(""), body)?;
        let answer = route.files().await?.send_request(request).await?;
        ensure!(answer.status() == 200, "files answered {}", answer.status());
        Ok(())
    };
    tokio::try_join!(route.terminal("main"), files)?;
    Ok(())
}
