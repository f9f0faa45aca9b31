//! The one caller of `waitpid`.
//!
//! PID 1 inherits every orphan of its machine, so it must reap processes that
//! it never started; but a second caller of `waitpid` could then swallow the
//! status that somebody waits for. So all children are started through here
//! and all statuses leave through here: SIGCHLD -> wait for any -> whoever
//! asked.

use std::{
    collections::HashMap,
    io,
    process::Child,
    sync::{Arc, Mutex, PoisonError},
};

use rustix::process::{Pid, Signal, WaitOptions, WaitStatus};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::oneshot,
};
use tracing::debug;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl Ended {
    /// As a shell reports it: a signal is 128 and its number.
    pub(crate) fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => 128 + signal,
        }
    }
}

/// A started process: its number, and how it ended when it has.
pub(crate) struct Started {
    /// Also its process group, for everything this guest starts.
    pub(crate) pid: Pid,
    /// Resolves once.
    pub(crate) ended: oneshot::Receiver<Ended>,
}

type Waiting = HashMap<Pid, oneshot::Sender<Ended>>;

/// Cheap handle; all clones share the table.
#[derive(Clone, Default)]
pub(crate) struct Reaper {
    waiting: Arc<Mutex<Waiting>>,
}

impl Reaper {
    /// Starts watching. One per process.
    pub(crate) fn start() -> io::Result<Self> {
        let reaper = Self::default();
        let mut child_ended = signal(SignalKind::child())?;
        let reaping = reaper.clone();
        tokio::spawn(async move {
            // Orphans may have ended before the handler was in place.
            reaping.reap();
            while child_ended.recv().await.is_some() {
                reaping.reap();
            }
        });
        Ok(reaper)
    }

    /// Starts a process. Holding the table while it starts means that even
    /// one which ends at once finds its entry.
    pub(crate) fn spawn(&self, start: impl FnOnce() -> io::Result<Child>) -> io::Result<Started> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let child = start()?;
        let pid = Pid::from_child(&child);
        let (tell, ended) = oneshot::channel();
        waiting.insert(pid, tell);
        Ok(Started { pid, ended })
    }

    /// Signals the process group of everything still running that was started
    /// through here. Answers how many there are.
    pub(crate) fn signal_all(&self, signal: Signal) -> usize {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for pid in waiting.keys() {
            // Already gone is what was wanted.
            rustix::process::kill_process_group(*pid, signal).ok();
        }
        waiting.len()
    }

    /// How many that were started through here still run.
    pub(crate) fn running(&self) -> usize {
        self.waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len()
    }

    /// Collects every status there is.
    pub(crate) fn reap(&self) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        // Ends: each round removes one zombie, an error or none ends the loop.
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            let Some(ended) = ended(status) else { continue };
            if let Some(tell) = waiting.remove(&pid) {
                // Whoever asked may have lost interest: fine.
                tell.send(ended).ok();
            } else {
                debug!(pid = pid.as_raw_nonzero(), "orphan reaped");
            }
        }
    }
}

fn ended(status: WaitStatus) -> Option<Ended> {
    status
        .exit_status()
        .map(Ended::Code)
        .or_else(|| status.terminating_signal().map(Ended::Signal))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[tokio::test]
    async fn a_status_reaches_whoever_started_the_process() {
        let reaper = Reaper::start().unwrap();
        let cases = [
            ("exit 7", Ended::Code(7), 7),
            ("kill -9 $$", Ended::Signal(9), 137),
            ("true", Ended::Code(0), 0),
        ];
        for (script, wanted, code) in cases {
            let started = reaper
                .spawn(|| Command::new("/bin/sh").args(["-c", script]).spawn())
                .unwrap();
            let ended = started.ended.await.unwrap();
            assert_eq!(ended, wanted, "{script}");
            assert_eq!(ended.shell_code(), code, "{script}");
        }
        assert_eq!(reaper.running(), 0);
    }
}
