//! What does a noisy neighbour cost the others?
//!
//! One learner types, a key every few milliseconds, and another seat of the same
//! worker makes a noise: a fork bomb, a disk that fills, packets, a terminal. The peer of
//! every noise is the quiet before it, in the same run.
//!
//! Fair: one terminal for all of it; quiet and noise take turns; a noise is
//! measured while its own seat says that it goes on, and each ends by itself.
//! Packets go to the seat's gateway and to a closed range: none leaves the machine.

#![allow(clippy::print_stdout, reason = "figures for people")]

use std::time::{Duration, Instant};

use anyhow::Context;
use clap::Parser;
use clarateach_bench::{
    Report, Route, Row, Spread, Stand, Way, figures, process, report, typing, way::Socket,
};
use clarateach_proto::workshop::Resources;
use futures_util::{SinkExt, StreamExt};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::Message;

/// Another seat's echo, quiet and while one seat is noisy.
#[derive(Parser)]
struct Settings {
    #[command(flatten)]
    report: Report,
    /// Rounds a noise.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// How long each is measured, in seconds.
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Between two keys, in milliseconds.
    #[arg(long, default_value_t = 2)]
    pause: u64,
    /// Only noises whose name has this in it.
    #[arg(long)]
    only: Option<String>,
}

/// What seats of one worker may be told to do. `SECONDS` is how long, `MARK` which
/// of them it is: the terminal shows what it said before to whoever comes again.
const NOISES: [(&str, &str); 5] = [
    ("busy loop", include_str!("noise/busy.py")),
    ("fork bomb", include_str!("noise/forks.py")),
    ("disk fill", include_str!("noise/disk.py")),
    ("packet flood", include_str!("noise/packets.py")),
    ("terminal flood", include_str!("noise/terminal.py")),
];
const FRAME: usize = 64;
/// A noise that is still not over so much later is not over.
const PATIENCE: Duration = Duration::from_mins(1);

fn main() -> anyhow::Result<()> {
    let settings = Settings::parse();
    report::run(measure(settings))
}

async fn measure(settings: Settings) -> anyhow::Result<()> {
    settings.report.title("a noisy neighbour, microseconds");
    let Some(stand) = Stand::open("noise", 2, Resources::default()).await? else {
        return Ok(());
    };
    let mut typist = typing::cat(&Route::new(&stand, Way::Project, 0)?).await?;
    let noisy = Route::new(&stand, Way::Project, 1)?;
    for (name, script) in NOISES {
        if settings
            .only
            .as_ref()
            .is_some_and(|only| !name.contains(only))
        {
            continue;
        }
        let mut rounds = Rounds::default();
        for round in 0..settings.rounds {
            let mark = format!("{}-{round}", name.replace(' ', "-"));
            let quiet = keys(&mut typist, &settings).await?;
            let mut noise = Noise::start(&noisy, script, mark, settings.seconds + 2).await?;
            let agent = process::cpu(&[stand.worker.agent])?;
            let loud = keys(&mut typist, &settings).await?;
            let agent = process::cpu(&[stand.worker.agent])?.saturating_sub(agent);
            let said = noise.end().await?;
            println!(
                "{name} {round}: quiet p50 {:.0} p99 {:.0}, noisy p50 {:.0} p99 {:.0}; agent {agent:?}; {said}",
                quiet.0, quiet.1, loud.0, loud.1
            );
            rounds.add(quiet, loud);
        }
        rounds.tell(name, &settings.report)?;
    }
    drop(typist);
    stand.close().await;
    Ok(())
}

/// p50 and p99 of each round.
#[derive(Default)]
struct Rounds {
    quiet: [Vec<f64>; 2],
    loud: [Vec<f64>; 2],
}

impl Rounds {
    fn add(&mut self, quiet: (f64, f64), loud: (f64, f64)) {
        for (into, (middle, tail)) in [(&mut self.quiet, quiet), (&mut self.loud, loud)] {
            into[0].push(middle);
            into[1].push(tail);
        }
    }

    fn tell(self, name: &str, report: &Report) -> anyhow::Result<()> {
        let parts = ["p50", "p99"].iter().zip(self.quiet.iter().zip(&self.loud));
        for (part, (quiet, loud)) in parts {
            report.row(&Row {
                what: &format!("echo {part} beside a {name}, µs (quiet)"),
                ratio: format!("{:.2}", Spread::of_ratios(loud, quiet)),
                peer: format!("{:.0}", Spread::of(quiet.clone())),
                project: format!("{:.0}", Spread::of(loud.clone())),
                goal: if *part == "p99" { "≤ 2" } else { "–" },
            })?;
        }
        Ok(())
    }
}

/// p50 and p99 of keys typed for as long as was said.
async fn keys(typist: &mut Socket, settings: &Settings) -> anyhow::Result<(f64, f64)> {
    let until = Instant::now() + Duration::from_secs(settings.seconds);
    let mut times = Vec::new();
    while Instant::now() < until {
        times.push(typing::echo(typist, FRAME).await?);
        sleep(Duration::from_millis(settings.pause)).await;
    }
    let times = figures::sorted(times);
    let at = |percent| figures::percentile(&times, percent);
    Ok((at(50.0), at(99.0)))
}

/// A noise that goes on.
struct Noise {
    socket: Socket,
    mark: String,
    seen: Vec<u8>,
}

impl Noise {
    /// Returns when it says that it goes on.
    async fn start(
        route: &Route,
        script: &str,
        mark: String,
        seconds: u64,
    ) -> anyhow::Result<Self> {
        let script = script
            .replace("SECONDS", &seconds.to_string())
            .replace("MARK", &mark);
        let mut noise = Self {
            socket: route.terminal("noise").await?,
            mark,
            seen: Vec::new(),
        };
        // Marks are in two parts where they are typed: whatever echoes is no mark.
        let lines = format!(
            "cat > /tmp/noise.py << 'END'\n{script}END\npython3 /tmp/noise.py; echo noise-\"\"off {}.\n",
            noise.mark
        );
        let lines = lines.replace('\n', "\r");
        noise.socket.send(Message::binary(lines)).await?;
        noise.until("on").await.context("the noise did not begin")?;
        Ok(noise)
    }

    /// What it said of itself, when it is over.
    async fn end(&mut self) -> anyhow::Result<String> {
        self.until("off").await.context("the noise did not end")?;
        let text = String::from_utf8_lossy(&self.seen).into_owned();
        let told = text
            .lines()
            .rev()
            .find_map(|line| line.trim().strip_prefix("did "));
        Ok(told.unwrap_or("said nothing").to_owned())
    }

    async fn until(&mut self, state: &str) -> anyhow::Result<()> {
        let mark = format!("noise-{state} {}.", self.mark);
        let read = async {
            loop {
                let found = self
                    .seen
                    .windows(mark.len())
                    .any(|part| part == mark.as_bytes());
                if found {
                    return Ok(());
                }
                let frame = self.socket.next().await.context("the terminal ended")??;
                // A flood is read and not kept.
                let keep = self.seen.len().saturating_sub(4096);
                self.seen.drain(..keep);
                self.seen.extend_from_slice(&frame.into_data());
            }
        };
        timeout(PATIENCE, read).await.context("it took too long")?
    }
}
