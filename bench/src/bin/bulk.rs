//! How fast does a large file go through, and does the agent hold on to it?
//!
//! One gibibyte down and up, through the agent and through nginx terminating
//! the same TLS before the same guest; straight to the guest for comparison.
//!
//! Fair: one client for all ways, a new connection a transfer, turns and order
//! as in `echo`; nginx passes uploads on unread and buffers downloads in memory
//! only. The seat has memory enough to keep the file in the page cache, so that
//! no disk decides; the first transfers of each way are not counted. The
//! agent's resident memory is read every 20 ms: its highest less its first says
//! whether it is flat.

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "figures for people"
)]

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use bytes::Bytes;
use clap::Parser;
use clarateach_bench::{Nginx, Report, Route, Row, Spread, Stand, Way, process, report, way::Body};
use clarateach_proto::workshop::Resources;
use futures_util::stream;
use http::Method;
use http_body_util::{BodyExt, Empty, StreamBody};
use hyper::body::Frame;

/// 1 GiB down and up: agent beside nginx.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    report: Report,
    /// Counted rounds a way and direction.
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// MiB a transfer.
    #[arg(long, default_value_t = 1024)]
    size: u32,
}

const WAYS: [Way; 3] = [Way::Direct, Way::Peer, Way::Project];
const CHUNK: usize = 64 * 1024;
const CHUNKS_A_MIB: u32 = 16;

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    report::run(measure(settings))
}

async fn measure(settings: Settings) -> anyhow::Result<()> {
    let size = settings.size;
    settings
        .report
        .title(&format!("{size} MiB down and up, MB a second"));
    let resources = Resources {
        vcpus: 0,
        memory_mib: 4 * size.max(512),
        disk_mib: 4 * size.max(512),
        // The agent is measured, and not a seat's share.
        network_mbits: 32_000,
        ..Default::default()
    };
    let Some(stand) = Stand::open("bulk", 1, resources).await? else {
        return Ok(());
    };
    let nginx = Nginx::start(&stand).await?;
    let routes = WAYS.map(|way| Route::new(&stand, way, 0));
    let routes = routes.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
    put(&routes[0], "down.bin", size).await?;
    let mut downs = [const { Vec::new() }; WAYS.len()];
    let mut ups = downs.clone();
    let (mut growth, mut first) = (Vec::new(), 0.0_f64);
    for round in 0..=settings.rounds as usize {
        for turn in 0..WAYS.len() {
            let way = (round + turn) % WAYS.len();
            let watch = Watch::start(stand.worker.agent);
            let down = get(&routes[way], "down.bin", size).await?;
            let up = put(&routes[way], "up.bin", size).await?;
            let (before, highest) = watch.end().await?;
            if round == 0 {
                continue;
            }
            downs[way].push(down);
            ups[way].push(up);
            if WAYS[way] == Way::Project {
                first = if growth.is_empty() { before } else { first };
                growth.push(highest - first);
            }
        }
    }
    for (way, (down, up)) in WAYS.iter().zip(downs.iter().zip(&ups)) {
        let (down, up) = (Spread::of(down.clone()), Spread::of(up.clone()));
        println!("{:>6}: down {down:.0}, up {up:.0}", way.name());
    }
    for (what, rounds) in [("1 GiB down, MB/s", &downs), ("1 GiB up, MB/s", &ups)] {
        let [_, peer, project] = rounds;
        settings.report.row(&Row {
            what,
            peer: format!("{:.0}", Spread::of(peer.clone())),
            project: format!("{:.0}", Spread::of(project.clone())),
            ratio: format!("{:.3}", Spread::of_ratios(project, peer)),
            goal: "≥ 1.0",
        })?;
    }
    settings.report.row(&Row {
        what: "agent's growth meanwhile, MiB",
        peer: "–".into(),
        project: format!("{:.1} from {first:.1}", Spread::of(growth)),
        ratio: "–".into(),
        goal: "flat",
    })?;
    drop(nginx);
    stand.close().await;
    Ok(())
}

/// Reads a file; MB a second.
async fn get(route: &Route, name: &str, mib: u32) -> anyhow::Result<f64> {
    let mut sender = route.files().await?;
    let request = route.request(Method::GET, &route.file(name), Body::new(Empty::new()))?;
    let began = Instant::now();
    let answer = sender.send_request(request).await?;
    ensure!(
        answer.status() == 200,
        "{} answered {}",
        route.way.name(),
        answer.status()
    );
    let (mut body, mut bytes) = (answer.into_body(), 0);
    while let Some(frame) = body.frame().await {
        bytes += frame?.data_ref().map_or(0, Bytes::len);
    }
    ensure!(
        bytes == (mib as usize) << 20,
        "{} gave {bytes} bytes",
        route.way.name()
    );
    Ok(bytes as f64 / 1e6 / began.elapsed().as_secs_f64())
}

/// Writes a file; MB a second.
async fn put(route: &Route, name: &str, mib: u32) -> anyhow::Result<f64> {
    let mut sender = route.files().await?;
    let chunks = mib * CHUNKS_A_MIB;
    let chunk = Bytes::from(vec![b'b'; CHUNK]);
    let frames = stream::iter((0..chunks).map(move |_| Ok(Frame::data(chunk.clone()))));
    let body = Body::new(StreamBody::new(frames));
    let mut request = route.request(Method::PUT, &route.file(name), body)?;
    let bytes = u64::from(mib) << 20;
    request.headers_mut().insert("content-length", bytes.into());
    let began = Instant::now();
    let answer = sender.send_request(request).await?;
    ensure!(
        answer.status().is_success(),
        "{} answered {}",
        route.way.name(),
        answer.status()
    );
    Ok(bytes as f64 / 1e6 / began.elapsed().as_secs_f64())
}

/// Reads a process's resident memory again and again.
struct Watch {
    stop: tokio::sync::oneshot::Sender<()>,
    seen: tokio::task::JoinHandle<anyhow::Result<(f64, f64)>>,
}

impl Watch {
    fn start(pid: i32) -> Self {
        let (stop, mut stopped) = tokio::sync::oneshot::channel();
        let seen = tokio::spawn(async move {
            let mut every = tokio::time::interval(Duration::from_millis(20));
            let before = process::memory(pid)?.rss;
            let mut highest = before;
            loop {
                tokio::select! {
                    _ = every.tick() => highest = highest.max(process::memory(pid)?.rss),
                    _ = &mut stopped => break,
                }
            }
            Ok((before as f64 / 1024.0, highest as f64 / 1024.0))
        });
        Self { stop, seen }
    }

    /// MiB at the start, and at most.
    async fn end(self) -> anyhow::Result<(f64, f64)> {
        let _ended_early = self.stop.send(());
        self.seen.await.context("the watch died")?
    }
}
