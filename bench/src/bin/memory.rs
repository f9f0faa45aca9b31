//! How much memory does a class need beside its learners' own?
//!
//! Resident memory (and PSS, which divides shared pages) of the server with an
//! idle class, of the agent with 0 to 200 open idle terminals, and of one guest
//! with one idle terminal. There is no peer; the goals are the issue's. The
//! agent's cost a terminal is the slope of the line through its readings; a
//! reading is taken when nothing has been said for a while.

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "figures for people"
)]

use std::time::Duration;

use anyhow::Context;
use clap::Parser;
use clarateach_bench::{
    Report, Route, Row, Stand, Way, figures, process, process::Memory, report, way::Socket,
};
use clarateach_proto::workshop::Resources;
use futures_util::StreamExt;
use tokio::time::{sleep, timeout};

/// Resident memory of server, agent and guest.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    report: Report,
    /// Seats; terminals go up to eight a seat.
    #[arg(long, default_value_t = 25)]
    seats: u32,
}

const TERMINALS_A_SEAT: usize = 8;
/// A terminal that says nothing for this long has said its prompt.
const QUIET: Duration = Duration::from_millis(300);
const SETTLE: Duration = Duration::from_secs(2);

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    report::run(measure(settings))
}

async fn measure(settings: Settings) -> anyhow::Result<()> {
    let Settings { report, seats } = settings;
    report.title("resident memory");
    let Some(stand) = Stand::open("memory", seats, Resources::default()).await? else {
        return Ok(());
    };
    sleep(SETTLE).await;
    let server = process::memory(server(&stand)?)?;
    let mut sockets: Vec<Socket> = Vec::new();
    let mut readings = vec![(0.0, process::memory(stand.worker.agent)?)];
    let mut guest = Memory::default();
    for number in 0..TERMINALS_A_SEAT {
        for learner in 0..stand.learners.len() {
            let route = Route::new(&stand, Way::Project, learner)?;
            let mut socket = route.terminal(&format!("t{number}")).await?;
            while let Ok(Some(frame)) = timeout(QUIET, socket.next()).await {
                frame.context("a terminal ended")?;
            }
            sockets.push(socket);
        }
        sleep(SETTLE).await;
        if number == 0 {
            guest = process::guests()
                .into_iter()
                .filter_map(|pid| process::memory(pid).ok())
                .max_by_key(|memory| memory.rss)
                .context("no guest was found")?;
        }
        readings.push((sockets.len() as f64, process::memory(stand.worker.agent)?));
    }
    for (terminals, memory) in &readings {
        println!("agent, {terminals} terminals: {}", said(*memory));
    }
    let points: Vec<_> = readings
        .iter()
        .map(|(x, memory)| (*x, memory.rss as f64))
        .collect();
    let rows = [
        (
            format!("server, idle class of {seats}"),
            said(server),
            "≤ 40 MiB",
        ),
        ("agent, no terminal".into(), said(readings[0].1), "≤ 20 MiB"),
        (
            format!("agent, an idle terminal (0–{})", sockets.len()),
            format!("{:.0} KiB", figures::slope(&points)),
            "≤ 160 KiB",
        ),
        (
            "guest, one idle terminal (highest)".into(),
            said(guest),
            "≤ 4 MiB",
        ),
    ];
    for (what, project, goal) in rows {
        let (peer, ratio) = ("–".into(), "–".into());
        report.row(&Row {
            what: &what,
            peer,
            project,
            ratio,
            goal,
        })?;
    }
    drop(sockets);
    stand.close().await;
    Ok(())
}

fn said(memory: Memory) -> String {
    let mib = |kib: u64| kib as f64 / 1024.0;
    format!("{:.1} MiB (PSS {:.1})", mib(memory.rss), mib(memory.pss))
}

/// The server is a child of this process.
fn server(stand: &Stand) -> anyhow::Result<i32> {
    let own = std::process::id().cast_signed();
    let children = process::children(own);
    let server = children.into_iter().find(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.starts_with("clarateach-serv")
    });
    server.with_context(|| format!("no server of {} was found", stand.house.url))
}
