//! Ctrl-C while something is under way: the work is dropped, and with it what was
//! half made.

use std::future::Future;

use tokio::signal::unix::{SignalKind, signal};

use crate::failure::{Exit, Failure};

/// `work`, or a failure that says that somebody ended it.
pub(crate) async fn or_stop<T>(
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let failed = |error| Failure::fault("could not listen for signals", error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => Err(Failure::new(Exit::Interrupted, "stopped")),
        _ = terminate.recv() => Err(Failure::new(Exit::Terminated, "stopped")),
    }
}
