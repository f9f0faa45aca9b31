//! What do two hundred busy terminals cost?
//!
//! Each of 200 terminals (25 seats, 8 each, as many as a seat may have) says
//! 4,000 bytes ten times a second; a client takes them all for a minute,
//! through nginx and through the agent in turn. Counted is the processor time
//! of nginx's workers and of the agent, user and system, threads included; what
//! guests and client use is not. Nobody may be disconnected.
//!
//! Fair: the talkers run all the time, whoever listens; the first seconds of a
//! minute are not counted; bytes are printed, so that one can see that both
//! carried the same; the order turns.

#![allow(
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "figures for people"
)]

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use clap::Parser;
use clarateach_bench::{
    Nginx, Report, Route, Row, Spread, Stand, Way, process, report, way::Socket,
};
use clarateach_proto::workshop::Resources;
use futures_util::{SinkExt, StreamExt, future};
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;

/// 200 terminals at 40 KB/s: agent's processor time beside nginx's.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    report: Report,
    /// Rounds a way.
    #[arg(long, default_value_t = 2)]
    rounds: u32,
    /// Seconds a round.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Seats, each with eight terminals.
    #[arg(long, default_value_t = 25)]
    seats: u32,
}

const TERMINALS_A_SEAT: usize = 8;
const SETTLE: Duration = Duration::from_secs(3);
/// Lines of 79 characters and a newline: 4,000 bytes, ten times a second.
const TALK: &str = r#"exec perl -e 'use Time::HiRes "sleep"; $|=1; $b=("x"x79 ."\n")x50; while(1){syswrite STDOUT,$b; sleep .1}'"#;

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    report::run(measure(settings))
}

async fn measure(settings: Settings) -> anyhow::Result<()> {
    let terminals = settings.seats as usize * TERMINALS_A_SEAT;
    settings.report.title(&format!(
        "{terminals} terminals at 40 KB/s, processor seconds"
    ));
    let Some(stand) = Stand::open("stream", settings.seats, Resources::default()).await? else {
        return Ok(());
    };
    let nginx = Nginx::start(&stand).await?;
    for mut socket in open(&stand, Way::Project).await? {
        let line = format!("stty -onlcr -echo; clear; {TALK}\r");
        socket.send(Message::binary(line)).await?;
        socket.close(None).await?;
    }
    let mut used = [const { Vec::new() }; 2];
    let mut lost = 0;
    let ways = [Way::Peer, Way::Project];
    for round in 0..settings.rounds as usize {
        for turn in 0..ways.len() {
            let way = (round + turn) % ways.len();
            let pids = match ways[way] {
                Way::Project => vec![stand.worker.agent],
                _ => nginx.workers(),
            };
            let heard = listen(&stand, ways[way], settings.seconds, &pids).await?;
            println!(
                "{:>6}: {:.2} s of {}, {:.1} KB/s a terminal, {} disconnected (load {})",
                ways[way].name(),
                heard.used,
                settings.seconds,
                heard.bytes as f64 / 1e3 / heard.took / terminals as f64,
                heard.lost,
                process::load(),
            );
            used[way].push(heard.used);
            lost += heard.lost;
        }
    }
    let [peer, project] = &used;
    settings.report.row(&Row {
        what: "200 × 40 KB/s for 60 s, CPU s",
        peer: format!("{:.2}", Spread::of(peer.clone())),
        project: format!("{:.2}", Spread::of(project.clone())),
        ratio: format!("{:.3}", Spread::of_ratios(project, peer)),
        goal: "≤ 1.0",
    })?;
    settings.report.row(&Row {
        what: "disconnected meanwhile",
        peer: "–".into(),
        project: lost.to_string(),
        ratio: "–".into(),
        goal: "0",
    })?;
    drop(nginx);
    stand.close().await;
    Ok(())
}

/// Every terminal of every seat.
async fn open(stand: &Stand, way: Way) -> anyhow::Result<Vec<Socket>> {
    let mut sockets = Vec::new();
    for learner in 0..stand.learners.len() {
        let route = Route::new(stand, way, learner)?;
        for number in 0..TERMINALS_A_SEAT {
            sockets.push(route.terminal(&format!("t{number}")).await?);
        }
    }
    Ok(sockets)
}

struct Heard {
    used: f64,
    bytes: usize,
    took: f64,
    lost: usize,
}

async fn listen(stand: &Stand, way: Way, seconds: u64, pids: &[i32]) -> anyhow::Result<Heard> {
    let sockets = open(stand, way).await?;
    let (bytes, lost) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let listeners = future::join_all(sockets.into_iter().map(|mut socket| {
        let (bytes, lost) = (bytes.clone(), lost.clone());
        async move {
            while let Some(Ok(frame)) = socket.next().await {
                bytes.set(bytes.get() + frame.into_data().len());
            }
            lost.set(lost.get() + 1);
        }
    }));
    let clock = async {
        sleep(SETTLE).await;
        let (before, heard, began) = (process::cpu(pids)?, bytes.get(), Instant::now());
        sleep(Duration::from_secs(seconds)).await;
        let took = began.elapsed().as_secs_f64();
        let used = process::cpu(pids)?.saturating_sub(before).as_secs_f64();
        anyhow::Ok((used, bytes.get() - heard, took))
    };
    let mut listeners = std::pin::pin!(listeners);
    let mut clock = std::pin::pin!(clock);
    // Listeners that have all ended leave the clock running to its end.
    let (used, bytes, took) = tokio::select! {
        measured = &mut clock => measured?,
        _ = &mut listeners => clock.await?,
    };
    Ok(Heard {
        used,
        bytes,
        took,
        lost: lost.get(),
    })
}
