//! Every setting of the guest, read once.
//!
//! As PID 1 it is started with no arguments at all: the defaults are the
//! product, and the runtime comes by environment. The flags exist for tests,
//! which run the same binary as a plain process on loopback.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use clap::{Parser, ValueEnum};
use tracing::Level;

/// What made the machine this guest runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Runtime {
    /// Linux namespaces made by the agent: mounts and network are there.
    Container,
    /// A kernel of our own: the guest mounts what Linux needs.
    Firecracker,
    /// An ordinary process for tests: touches nothing outside its home.
    Process,
}

/// PID 1 of a seat: terminal and commands on :3001, files on :3002, and a
/// control channel for the agent alone.
///
/// Until the agent has sent `Configure` over the control channel, both ports
/// answer 503; afterwards every request must carry the seat's secret in
/// `clarateach-secret`. There is no open mode.
#[derive(Clone, Debug, Parser)]
#[command(name = "clarateach-guest", version)]
pub(crate) struct Config {
    /// What made this machine. No default: a guest that guesses could mount
    /// over its host.
    #[arg(long, env = "CLARATEACH_RUNTIME", value_enum)]
    pub(crate) runtime: Runtime,
    /// How many listening sockets were handed over from descriptor 3 on; the
    /// first is the control channel.
    #[arg(long, env = "LISTEN_FDS", hide = true)]
    pub(crate) listen_fds: Option<u32>,
    /// Make the control socket here instead of taking descriptor 3.
    #[arg(long)]
    pub(crate) control: Option<PathBuf>,
    /// Where terminals and commands are served.
    #[arg(long, default_value = "0.0.0.0:3001")]
    pub(crate) terminal_listen: SocketAddr,
    /// Where files are served.
    #[arg(long, default_value = "0.0.0.0:3002")]
    pub(crate) files_listen: SocketAddr,
    /// The learner's home; the folder `workspace` in it is what files serves
    /// and where shells start.
    #[arg(long, default_value = "/home/learner")]
    pub(crate) home: PathBuf,
    /// The learner's name.
    #[arg(long, default_value = "learner")]
    pub(crate) user: String,
    /// The learner's user number.
    #[arg(long, default_value_t = 1000)]
    pub(crate) uid: u32,
    /// The learner's group number.
    #[arg(long, default_value_t = 1000)]
    pub(crate) gid: u32,
    /// The learner's shell, started as a login shell.
    #[arg(long, default_value = "/bin/bash")]
    pub(crate) shell: PathBuf,
    /// Write the two listening addresses here, one a line, terminal first:
    /// for tests that ask for port 0.
    #[arg(long)]
    pub(crate) addresses_file: Option<PathBuf>,
    /// What to log: error, warn, info, debug or trace.
    #[arg(long, env = "CLARATEACH_GUEST_LOG", default_value_t = Level::INFO)]
    pub(crate) log: Level,
}

/// The folder in the learner's home that is served.
pub(crate) const WORKSPACE: &str = "workspace";

impl Config {
    /// Where shells start and what files serves.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.home.join(WORKSPACE)
    }

    /// Whether children can and must be started as another user.
    pub(crate) fn switches_user(&self) -> bool {
        rustix::process::geteuid().is_root() && self.uid != 0
    }

    /// Whether this process is the machine's first.
    pub(crate) fn is_init() -> bool {
        rustix::process::getpid().as_raw_nonzero().get() == 1
    }

    /// The shell as `ps` shows a login shell: `-bash`.
    pub(crate) fn login_name(&self) -> String {
        let name = Path::new(&self.shell)
            .file_name()
            .map_or_else(|| "sh".into(), |name| name.to_string_lossy());
        format!("-{name}")
    }
}
