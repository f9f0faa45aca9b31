//! Stopping in order: viewers are told, shells hang up, what remains is
//! killed, disks are synced.
//!
//! The word comes by SIGTERM, SIGINT or over the control channel. As PID 1 it
//! ends every process of the machine; as a plain process only its own.

use std::time::Duration;

use anyhow::Context as _;
use rustix::process::{Pid, Signal};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc,
    time::Instant,
};
use tracing::{info, warn};

use crate::{
    config::{Config, Runtime},
    files::FilesThread,
    reaper::Reaper,
    seat::Seat,
};

/// For SIGTERM, which brings no grace of its own.
const DEFAULT_GRACE: Duration = Duration::from_secs(3);
/// A machine that is told to wait for ever would never stop.
const LONGEST_GRACE: Duration = Duration::from_mins(1);
/// How long SIGKILL may take to be noticed.
const AFTER_KILL: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_millis(20);

/// Asks the guest to stop.
#[derive(Clone)]
pub(crate) struct Stopper(mpsc::Sender<Duration>);

impl Stopper {
    /// The first word counts; more are harmless.
    pub(crate) fn stop(&self, grace: Duration) {
        self.0.try_send(grace.min(LONGEST_GRACE)).ok();
    }
}

/// A stopper and what it moves.
pub(crate) fn channel() -> (Stopper, mpsc::Receiver<Duration>) {
    let (ask, asked) = mpsc::channel(1);
    (Stopper(ask), asked)
}

/// Waits for the word to stop; answers the grace.
pub(crate) async fn requested(mut asked: mpsc::Receiver<Duration>) -> anyhow::Result<Duration> {
    let mut term = signal(SignalKind::terminate()).context("could not listen for SIGTERM")?;
    let mut int = signal(SignalKind::interrupt()).context("could not listen for SIGINT")?;
    Ok(tokio::select! {
        _ = term.recv() => DEFAULT_GRACE,
        _ = int.recv() => DEFAULT_GRACE,
        grace = asked.recv() => grace.unwrap_or(DEFAULT_GRACE),
    })
}

/// Ends everything within `grace` and a second.
pub(crate) async fn stop_everything(
    seat: &Seat,
    reaper: &Reaper,
    files: FilesThread,
    grace: Duration,
) {
    info!(?grace, "guest stopping");
    seat.viewers().close_all(1012, "the machine restarts");
    files.stop();
    signal_everything(reaper, Signal::HUP);
    // A stopped job sees its SIGHUP only when it runs again.
    signal_everything(reaper, Signal::CONT);
    if !all_gone(reaper, grace).await {
        warn!(running = reaper.running(), "processes outlived their grace");
        signal_everything(reaper, Signal::KILL);
        all_gone(reaper, AFTER_KILL).await;
    }
    rustix::fs::sync();
    info!("guest stopped");
    if seat.config().runtime == Runtime::Firecracker && Config::is_init() {
        // Firecracker ends its process on a reboot by the keyboard controller.
        rustix::system::reboot(rustix::system::RebootCommand::Restart).ok();
    }
}

fn signal_everything(reaper: &Reaper, signal: Signal) {
    reaper.signal_all(signal);
    if Config::is_init() {
        // To PID 1 this means: every process of this machine but itself.
        rustix::process::kill_process_group(Pid::INIT, signal).ok();
    }
}

/// Whether everything ended within `limit`.
async fn all_gone(reaper: &Reaper, limit: Duration) -> bool {
    let until = Instant::now() + limit;
    loop {
        reaper.reap();
        if reaper.running() == 0 && !(Config::is_init() && has_children()) {
            return true;
        }
        if Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(POLL).await;
    }
}

fn has_children() -> bool {
    use rustix::process::{WaitId, WaitIdOptions, waitid};
    // Peeks without taking any status: that is the reaper's.
    waitid(
        WaitId::All,
        WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT,
    )
    .is_ok()
}
