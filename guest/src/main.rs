//! `clarateach-guest`: what runs as PID 1 in every seat.
//!
//! Way: settings -> boot (before any thread) -> one thread for terminals,
//! commands and control, one for files -> wait for the word to stop -> stop in
//! order. Nothing here answers before the agent has said who this guest is.

mod boot;
mod config;
mod control;
mod exec;
mod files;
mod learner;
mod reaper;
mod reply;
mod seat;
mod serve;
mod shutdown;
mod sys;
mod terminal;

use std::{
    io::{Write as _, stderr, stdout},
    process::ExitCode,
};

use anyhow::Context as _;
use tracing::{error, info};

use crate::config::{Asked, Config};

fn main() -> ExitCode {
    let config = match Config::read() {
        Ok(Asked::Run(config)) => config,
        Ok(Asked::Say(text)) => {
            stdout().write_all(text.as_bytes()).ok();
            return ExitCode::SUCCESS;
        }
        Err(cause) => {
            // How to log is not known yet.
            writeln!(stderr(), "clarateach-guest: {cause:#}").ok();
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .with_max_level(config.log)
        .init();
    match run(config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            error!(cause = format!("{cause:#}"), "guest stopped");
            ExitCode::FAILURE
        }
    }
}

fn run(config: Config) -> anyhow::Result<()> {
    sys::keep_the_heap_small();
    boot::boot(&config).context("could not boot")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("could not start the runtime")?;
    let outcome = runtime.block_on(live(config));
    // A blocking read that never ends must not keep a stopped machine alive.
    runtime.shutdown_background();
    outcome
}

async fn live(config: Config) -> anyhow::Result<()> {
    let seat = seat::Seat::new(config);
    let reaper = reaper::Reaper::start().context("could not watch for ended processes")?;
    let (stopper, stop) = shutdown::channel();
    let control = control::Listener::open(seat.config())?;
    let files = files::start(&seat).context("could not serve files")?;
    let terminals = terminal::Terminals::new(seat.clone(), reaper.clone());
    let served = serve::start(&seat, &reaper, &terminals)
        .await
        .context("could not serve terminals")?;
    seat.publish_addresses(served, files.address)?;
    boot::warm_up(seat.config(), [served, files.address]).await;
    control::start(control, &seat, &terminals, stopper);
    info!(terminal = %served, files = %files.address, "guest started");

    let grace = shutdown::requested(stop).await?;
    shutdown::stop_everything(&seat, &reaper, files, grace).await;
    Ok(())
}
