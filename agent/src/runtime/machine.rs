//! A running machine, known by a process that ends when it ends.

use std::{fs, io, os::fd::OwnedFd, time::Duration};

use rustix::{
    event::{PollFd, PollFlags, Timespec},
    process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal},
};
use tokio::io::unix::AsyncFd;

use crate::{control::Control, sys};

/// A process by number and start, so that a number used again is not mistaken
/// for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ProcessName {
    /// Its number on this host.
    pub pid: i32,
    /// When it started, in clock ticks since the kernel did.
    pub started: u64,
}

impl ProcessName {
    /// The process that has the number now, if there is one that is not a zombie.
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let started = parse_start(&stat)?;
        Some(Self { pid, started })
    }

    /// A descriptor of exactly this process, if it still lives.
    pub fn open(self) -> io::Result<Option<OwnedFd>> {
        let Some(pid) = Pid::from_raw(self.pid) else {
            return Ok(None);
        };
        let opened = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(opened) => opened,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        // Opened first and compared then: the number cannot pass to another
        // process in between without the comparison failing.
        Ok((Self::of(self.pid) == Some(self)).then_some(opened))
    }
}

/// Field 22 of `/proc/PID/stat`; `None` for a zombie. The second field may hold
/// anything, parentheses and spaces too.
fn parse_start(stat: &str) -> Option<u64> {
    let (_name, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let state = fields.next()?;
    if matches!(state, "Z" | "X") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

/// A machine that runs. Dropping it ends nothing.
#[derive(Debug)]
pub struct Machine {
    process: AsyncFd<OwnedFd>,
    control: Control,
}

impl Machine {
    /// The machine of this process, spoken to by `control`. Must be called
    /// inside a tokio runtime.
    pub fn new(process: OwnedFd, control: Control) -> io::Result<Self> {
        let process = sys::watch(process)?;
        Ok(Self { process, control })
    }

    /// The way to its guest.
    pub fn control(&self) -> &Control {
        &self.control
    }

    /// Returns when the machine is dead, at once if it is.
    pub async fn died(&self) {
        // A readable pidfd means exactly that; an error here would mean that the
        // descriptor is none, and then the machine cannot be watched: dead too.
        let _ready = self.process.readable().await;
    }
}

/// Kills the process and waits until it is dead. Blocks at most `within`.
pub(crate) fn kill(process: &OwnedFd, within: Duration) -> io::Result<()> {
    match pidfd_send_signal(process, Signal::KILL) {
        Ok(()) | Err(rustix::io::Errno::SRCH) => {}
        Err(error) => return Err(error.into()),
    }
    let mut watched = [PollFd::new(process, PollFlags::IN)];
    let limit = Timespec::try_from(within).map_err(io::Error::other)?;
    let dead = rustix::io::retry_on_intr(|| rustix::event::poll(&mut watched, Some(&limit)))?;
    if dead == 0 {
        return Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the process did not die",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_read_whatever_the_process_calls_itself() {
        let stat = |name: &str, state: &str| {
            format!("7 ({name}) {state} 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 8765 1 1")
        };
        for (stat, start) in [
            (stat("guest", "S"), Some(8765)),
            (stat("a) S (b c", "S"), Some(8765)),
            (stat("guest", "Z"), None),
            ("7 (guest".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(parse_start(&stat), start, "{stat}");
        }
    }

    #[test]
    fn a_number_that_passed_to_another_process_opens_nothing() {
        let me = ProcessName::of(i32::try_from(std::process::id()).unwrap()).unwrap();
        assert!(me.open().unwrap().is_some());
        let other = ProcessName {
            started: me.started + 1,
            ..me
        };
        assert!(other.open().unwrap().is_none());
    }
}
