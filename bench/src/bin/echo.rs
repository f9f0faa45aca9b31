//! How long does a keystroke take there and back?
//!
//! A 64-byte frame goes to a seat's terminal, whose shell was replaced by `cat`
//! on a raw terminal, and its echo comes back. The peer is nginx terminating
//! the same TLS (same certificate, same suite, both printed) before the same
//! guest; the way straight to the guest, without TLS and without the worker's
//! uplink, shows how much of the time is the guest's and the client's own.
//!
//! Fair: one client for all ways, one terminal and one connection a way, opened
//! once; rounds take turns and the order turns too; no subprotocol, so that the
//! guest does the same on all three. Ratios are of rounds that ran side by side.

#![allow(clippy::print_stdout, reason = "figures for people")]

use clap::Parser;
use clarateach_bench::{
    Nginx, Report, Route, Row, Spread, Stand, Way, figures, report, typing, way::Socket,
};
use clarateach_proto::workshop::Resources;

/// 64-byte terminal echo: agent beside nginx.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    report: Report,
    /// Rounds a way; at least 7.
    #[arg(long, default_value_t = 11, value_parser = clap::value_parser!(u32).range(7..=101))]
    rounds: u32,
    /// Echoes a round.
    #[arg(long, default_value_t = 3000)]
    echoes: u32,
}

const WAYS: [Way; 3] = [Way::Direct, Way::Peer, Way::Project];
const FRAME: usize = 64;
/// Echoes before a round that are not counted.
const WARM_UP: u32 = 200;

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    report::run(measure(settings))
}

async fn measure(settings: Settings) -> anyhow::Result<()> {
    settings.report.title("64-byte terminal echo, microseconds");
    let Some(stand) = Stand::open("echo", 1, Resources::default()).await? else {
        return Ok(());
    };
    let nginx = Nginx::start(&stand).await?;
    let mut sockets = Vec::new();
    for way in WAYS {
        let route = Route::new(&stand, way, 0)?;
        println!("{}: {}", way.name(), route.suite().await?);
        sockets.push(typing::cat(&route).await?);
    }
    // A round's p50 and p99, by way.
    let mut middles = [const { Vec::new() }; WAYS.len()];
    let mut tails = middles.clone();
    for round in 0..settings.rounds as usize {
        for turn in 0..WAYS.len() {
            let way = (round + turn) % WAYS.len();
            let times = echoes(&mut sockets[way], settings.echoes).await?;
            middles[way].push(figures::percentile(&times, 50.0));
            tails[way].push(figures::percentile(&times, 99.0));
        }
    }
    for (way, (middle, tail)) in WAYS.iter().zip(middles.iter().zip(&tails)) {
        let (middle, tail) = (Spread::of(middle.clone()), Spread::of(tail.clone()));
        println!("{:>6}: p50 {middle}, p99 {tail}", way.name());
    }
    for (what, rounds) in [("echo p50, µs", &middles), ("echo p99, µs", &tails)] {
        let [_, peer, project] = rounds;
        settings.report.row(&Row {
            what,
            peer: Spread::of(peer.clone()).to_string(),
            project: Spread::of(project.clone()).to_string(),
            ratio: format!("{:.3}", Spread::of_ratios(project, peer)),
            goal: "≤ 1.0, never > 1.05",
        })?;
    }
    drop(sockets);
    drop(nginx);
    stand.close().await;
    Ok(())
}

/// Times of `count` echoes, microseconds, sorted.
async fn echoes(socket: &mut Socket, count: u32) -> anyhow::Result<Vec<f64>> {
    let mut times = Vec::with_capacity(count as usize);
    for number in 0..WARM_UP + count {
        let took = typing::echo(socket, FRAME).await?;
        if number >= WARM_UP {
            times.push(took);
        }
    }
    Ok(figures::sorted(times))
}
