//! A running command: its pipes, its time, its end.

use std::{
    io,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    process::{Command, Stdio},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::{BufMut as _, Bytes};
use rustix::process::{Pid, Signal};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::unix::pipe,
    sync::mpsc,
    time::{Instant, sleep_until, timeout_at},
};
use tracing::{debug, warn};

use super::order::Order;
use crate::{
    learner,
    reaper::{Ended, Reaper, Started},
    reply::Refusal,
    seat::{Identity, Seat},
};

/// Of output in one line.
const CHUNK: usize = 32 * 1024;
/// After the command ended, a child of it may still hold its pipes: what it
/// says within this time is still heard.
const LAST_WORDS: Duration = Duration::from_millis(250);

/// Started and not yet streamed.
pub(crate) struct Run {
    group: Group,
    ended: tokio::sync::oneshot::Receiver<Ended>,
    stdin: pipe::Sender,
    stdout: pipe::Receiver,
    stderr: pipe::Receiver,
    input: Vec<u8>,
    until: Instant,
}

/// A process group that ends with this guard, unless its leader ended before.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            rustix::process::kill_process_group(pid, Signal::KILL).ok();
        }
    }
}

impl Run {
    /// Starts it as the learner, in a process group of its own.
    pub(crate) fn start(
        seat: &Seat,
        identity: &Identity,
        reaper: &Reaper,
        order: Order,
    ) -> Result<Self, Refusal> {
        Self::spawn(seat, identity, reaper, order).map_err(|cause| {
            debug!(%cause, "command not started");
            Refusal::bad(
                "NOT_STARTED",
                format!("the command could not be started: {cause}"),
            )
        })
    }

    fn spawn(seat: &Seat, identity: &Identity, reaper: &Reaper, order: Order) -> io::Result<Self> {
        let config = seat.config();
        let [
            (stdin, to_stdin),
            (from_stdout, stdout),
            (from_stderr, stderr),
        ] = [pipe()?, pipe()?, pipe()?];
        let env = learner::environment(config, identity);
        let mut command = Command::new(&order.argv[0]);
        command
            .args(&order.argv[1..])
            .env_clear()
            .envs(env)
            .env("TERM", "dumb")
            .envs(&order.env)
            .current_dir(order.cwd.unwrap_or_else(|| learner::start_folder(config)))
            .stdin(Stdio::from(stdin))
            .stdout(Stdio::from(stdout))
            .stderr(Stdio::from(stderr))
            .process_group(0);
        if config.switches_user() {
            command.uid(config.uid).gid(config.gid);
        }
        let Started { pid, ended } = reaper.spawn(|| command.spawn())?;
        // Its ends are closed here, or their end of file would never come.
        drop(command);
        Ok(Self {
            group: Group(Some(pid)),
            ended,
            stdin: pipe::Sender::from_owned_fd(to_stdin)?,
            stdout: pipe::Receiver::from_owned_fd(from_stdout)?,
            stderr: pipe::Receiver::from_owned_fd(from_stderr)?,
            input: order.stdin,
            until: Instant::now() + order.timeout,
        })
    }

    /// Streams until its end, its time or its caller's going.
    pub(crate) async fn stream(mut self, lines: mpsc::Sender<Bytes>) {
        let input = std::mem::take(&mut self.input);
        let mut stdin = self.stdin;
        let feeding = async move {
            // A command that reads no further is not our fault.
            stdin.write_all(&input).await.ok();
        };
        let output = async {
            tokio::join!(
                relay(&mut self.stdout, "stdout", &lines),
                relay(&mut self.stderr, "stderr", &lines),
            );
        };
        let mut fed = std::pin::pin!(feeding);
        let mut feeding = true;
        let mut output = std::pin::pin!(output);
        let mut speaking = true;
        let mut ended = self.ended;
        let end = loop {
            tokio::select! {
                () = &mut fed, if feeding => feeding = false,
                () = &mut output, if speaking => speaking = false,
                end = &mut ended => break end.ok(),
                () = sleep_until(self.until) => break None,
                () = lines.closed() => {
                    debug!("caller went away, command killed");
                    return; // the guard ends the group
                }
            }
        };
        let last = if let Some(end) = end {
            self.group.0 = None; // its number may soon be another's
            if speaking {
                timeout_at(Instant::now() + LAST_WORDS, &mut output)
                    .await
                    .ok();
            }
            match end {
                Ended::Code(code) => json!({"exit_code": code}),
                Ended::Signal(signal) => json!({"signal": name(signal), "timed_out": false}),
            }
        } else {
            drop(self.group);
            if speaking {
                timeout_at(Instant::now() + LAST_WORDS, &mut output)
                    .await
                    .ok();
            }
            json!({"signal": "SIGKILL", "timed_out": true})
        };
        if lines.send(line(&last)).await.is_err() {
            warn!("a command's end was not heard");
        }
    }
}

/// Reads to the end, each piece a line; stops when nobody listens.
async fn relay(from: &mut pipe::Receiver, name: &str, lines: &mpsc::Sender<Bytes>) {
    let mut buffer = Vec::new();
    loop {
        buffer.reserve(CHUNK);
        buffer.clear();
        match from.read_buf(&mut (&mut buffer).limit(CHUNK)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let said = json!({ name: STANDARD.encode(&buffer) });
                if lines.send(line(&said)).await.is_err() {
                    return;
                }
            }
        }
    }
}

fn line(value: &serde_json::Value) -> Bytes {
    let mut line = value.to_string();
    line.push('\n');
    Bytes::from(line)
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?)
}

/// As people know them.
fn name(signal: i32) -> String {
    let known = [
        (1, "SIGHUP"),
        (2, "SIGINT"),
        (3, "SIGQUIT"),
        (4, "SIGILL"),
        (6, "SIGABRT"),
        (7, "SIGBUS"),
        (8, "SIGFPE"),
        (9, "SIGKILL"),
        (10, "SIGUSR1"),
        (11, "SIGSEGV"),
        (12, "SIGUSR2"),
        (13, "SIGPIPE"),
        (14, "SIGALRM"),
        (15, "SIGTERM"),
    ];
    known
        .iter()
        .find(|(number, _)| *number == signal)
        .map_or_else(|| format!("SIG{signal}"), |(_, name)| (*name).to_owned())
}
