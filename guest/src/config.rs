//! Every setting of the guest, read once; by a small parser, for the code of a
//! large one would lie in the memory of every seat.
//!
//! As PID 1 it is started with no arguments at all: the defaults are the
//! product, and the runtime comes by environment. The flags exist for tests,
//! which run the same binary as a plain process on loopback.

use std::{
    env,
    ffi::OsString,
    fmt::Display,
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, anyhow, bail};
use pico_args::Arguments;
use tracing::Level;

/// What made the machine this guest runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    /// Linux namespaces made by the agent: mounts and network are there.
    Container,
    /// A kernel of our own: the guest mounts what Linux needs.
    Firecracker,
    /// An ordinary process for tests: touches nothing outside its home.
    Process,
}

impl FromStr for Runtime {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "container" => Ok(Self::Container),
            "firecracker" => Ok(Self::Firecracker),
            "process" => Ok(Self::Process),
            _ => Err("container, firecracker or process is wanted"),
        }
    }
}

/// A machine that belongs to nobody and is written to files, for others to be
/// restored from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Template {
    /// For seats whose disk is there already: it is left alone.
    AnyDisk,
    /// For seats that start from a copy of this machine's disk.
    OwnDisk,
}

impl FromStr for Template {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "any-disk" => Ok(Self::AnyDisk),
            "own-disk" => Ok(Self::OwnDisk),
            _ => Err("any-disk or own-disk is wanted"),
        }
    }
}

/// What was asked of the program.
pub(crate) enum Asked {
    /// To be a guest.
    Run(Config),
    /// To say this and end.
    Say(&'static str),
}

/// PID 1 of a seat: terminal and commands on :3001, files on :3002, and a
/// control channel for the agent alone.
///
/// Until the agent has sent `Configure` over the control channel, both ports
/// answer 503; afterwards every request must carry the seat's secret in
/// `clarateach-secret`. There is no open mode.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// What made this machine. No default: a guest that guesses could mount
    /// over its host.
    pub(crate) runtime: Runtime,
    /// Whether it is a template, and of what.
    pub(crate) template: Option<Template>,
    /// How many listening sockets were handed over from descriptor 3 on; the
    /// first is the control channel.
    pub(crate) listen_fds: u32,
    /// Make the control socket here instead of taking descriptor 3.
    pub(crate) control: Option<PathBuf>,
    /// Where terminals and commands are served.
    pub(crate) terminal_listen: SocketAddr,
    /// Where files are served.
    pub(crate) files_listen: SocketAddr,
    /// The learner's home; the folder `workspace` in it is what files serves
    /// and where shells start.
    pub(crate) home: PathBuf,
    /// The learner's name.
    pub(crate) user: String,
    /// The learner's user number.
    pub(crate) uid: u32,
    /// The learner's group number.
    pub(crate) gid: u32,
    /// The learner's shell, started as a login shell.
    pub(crate) shell: PathBuf,
    /// Write the two listening addresses here, one a line, terminal first:
    /// for tests that ask for port 0.
    pub(crate) addresses_file: Option<PathBuf>,
    /// What to log.
    pub(crate) log: Level,
}

const HELP: &str = "\
clarateach-guest: PID 1 of a seat, with terminal, commands and files

  --runtime WHAT           what made this machine: container, firecracker, or
                           process for tests [CLARATEACH_RUNTIME]; must be said
  --template WHAT          others are restored from this machine: any-disk or
                           own-disk [CLARATEACH_TEMPLATE]
  --control FILE           make the control socket here, instead of taking
                           descriptor 3 [LISTEN_FDS]
  --terminal-listen ADDR   terminals and commands (default: 0.0.0.0:3001)
  --files-listen ADDR      files (default: 0.0.0.0:3002)
  --home DIR               the learner's home (default: /home/learner)
  --user NAME              the learner's name (default: learner)
  --uid N, --gid N         the learner's numbers (default: 1000)
  --shell FILE             the learner's login shell (default: /bin/bash)
  --addresses-file FILE    write the two listening addresses here
  --log LEVEL              error, warn, info, debug or trace (default: info)
                           [CLARATEACH_GUEST_LOG]
  -h, --help; -V, --version
";
const VERSION: &str = concat!("clarateach-guest ", env!("CARGO_PKG_VERSION"), "\n");

/// The folder in the learner's home that is served.
pub(crate) const WORKSPACE: &str = "workspace";

impl Config {
    /// From this process's arguments and environment.
    #[expect(clippy::disallowed_methods, reason = "this is the one place")]
    pub(crate) fn read() -> anyhow::Result<Asked> {
        Self::parse(env::args_os().skip(1).collect(), |name| env::var(name).ok())
    }

    fn parse(args: Vec<OsString>, env: impl Fn(&str) -> Option<String>) -> anyhow::Result<Asked> {
        let mut args = Arguments::from_vec(args);
        if args.contains(["-h", "--help"]) {
            return Ok(Asked::Say(HELP));
        }
        if args.contains(["-V", "--version"]) {
            return Ok(Asked::Say(VERSION));
        }
        let mut flag = Flags { args, env };
        let config = Self {
            runtime: flag
                .or_variable("--runtime", "CLARATEACH_RUNTIME")?
                .context("--runtime must say what made this machine")?,
            template: flag.or_variable("--template", "CLARATEACH_TEMPLATE")?,
            listen_fds: flag.or_variable("--listen-fds", "LISTEN_FDS")?.unwrap_or(0),
            control: flag.given("--control")?,
            terminal_listen: flag
                .given("--terminal-listen")?
                .unwrap_or(SocketAddr::from(([0; 4], 3001))),
            files_listen: flag
                .given("--files-listen")?
                .unwrap_or(SocketAddr::from(([0; 4], 3002))),
            home: flag
                .given("--home")?
                .unwrap_or_else(|| "/home/learner".into()),
            user: flag.given("--user")?.unwrap_or_else(|| "learner".into()),
            uid: flag.given("--uid")?.unwrap_or(1000),
            gid: flag.given("--gid")?.unwrap_or(1000),
            shell: flag.given("--shell")?.unwrap_or_else(|| "/bin/bash".into()),
            addresses_file: flag.given("--addresses-file")?,
            log: flag
                .or_variable("--log", "CLARATEACH_GUEST_LOG")?
                .unwrap_or(Level::INFO),
        };
        if let Some(unknown) = flag.args.finish().first() {
            bail!("{} is no setting of the guest", unknown.to_string_lossy());
        }
        Ok(Asked::Run(config))
    }

    /// A plain process with every default.
    #[cfg(test)]
    pub(crate) fn for_a_test() -> Self {
        let args = ["--runtime", "process"].map(Into::into).into();
        match Self::parse(args, |_| None) {
            Ok(Asked::Run(config)) => config,
            Ok(Asked::Say(text)) => panic!("{text}"),
            Err(cause) => panic!("{cause:#}"),
        }
    }

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

/// Takes settings one by one; a flag wins over its variable.
struct Flags<E> {
    args: Arguments,
    env: E,
}

impl<E: Fn(&str) -> Option<String>> Flags<E> {
    fn given<T: FromStr<Err: Display>>(&mut self, flag: &'static str) -> anyhow::Result<Option<T>> {
        self.args
            .opt_value_from_str(flag)
            .with_context(|| format!("could not take {flag}"))
    }

    fn or_variable<T: FromStr<Err: Display>>(
        &mut self,
        flag: &'static str,
        variable: &str,
    ) -> anyhow::Result<Option<T>> {
        if let Some(given) = self.given(flag)? {
            return Ok(Some(given));
        }
        let Some(value) = (self.env)(variable) else {
            return Ok(None);
        };
        value
            .parse()
            .map(Some)
            .map_err(|cause: T::Err| anyhow!("could not take {variable}: {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(args: &[&str], env: &[(&str, &str)]) -> anyhow::Result<Asked> {
        Config::parse(args.iter().map(Into::into).collect(), |wanted| {
            let (_, value) = env.iter().find(|(name, _)| *name == wanted)?;
            Some((*value).to_owned())
        })
    }

    #[test]
    fn a_machines_runtime_and_socket_come_by_environment_and_the_rest_has_defaults() {
        let env = [("CLARATEACH_RUNTIME", "container"), ("LISTEN_FDS", "1")];
        let Asked::Run(config) = parse(&[], &env).unwrap() else {
            panic!("there is nothing to say");
        };
        assert_eq!(config.runtime, Runtime::Container);
        assert_eq!(config.listen_fds, 1);
        assert_eq!(config.terminal_listen.to_string(), "0.0.0.0:3001");
        assert_eq!(config.files_listen.to_string(), "0.0.0.0:3002");
        assert_eq!(config.workspace(), Path::new("/home/learner/workspace"));
        assert_eq!((config.uid, config.gid), (1000, 1000));
        assert_eq!(config.login_name(), "-bash");
        assert_eq!(config.log, Level::INFO);
    }

    #[test]
    fn a_flag_wins_over_its_variable() {
        let env = [("CLARATEACH_RUNTIME", "container")];
        for args in [&["--runtime", "process"][..], &["--runtime=process"]] {
            let Asked::Run(config) = parse(args, &env).unwrap() else {
                panic!("there is nothing to say");
            };
            assert_eq!(config.runtime, Runtime::Process);
        }
    }

    #[test]
    fn what_is_missing_unknown_or_wrong_is_refused_by_its_name() {
        let process = ("CLARATEACH_RUNTIME", "process");
        for (args, env, named) in [
            (&[][..], &[][..], "--runtime"),
            (&["--runtime", "docker"], &[], "--runtime"),
            (
                &[],
                &[("CLARATEACH_RUNTIME", "docker")],
                "CLARATEACH_RUNTIME",
            ),
            (&[], &[process, ("LISTEN_FDS", "-1")], "LISTEN_FDS"),
            (&["--uid", "-1"], &[process], "--uid"),
            (&["--files-listen", "3002"], &[process], "--files-listen"),
            (&["--log", "loud"], &[process], "--log"),
            (&["--colour"], &[process], "--colour"),
            (&["quiet"], &[process], "quiet"),
        ] {
            let refused = parse(args, env).err().map(|cause| format!("{cause:#}"));
            assert!(
                refused.as_ref().is_some_and(|text| text.contains(named)),
                "{args:?} {env:?}: {refused:?}"
            );
        }
    }

    #[test]
    fn help_and_version_are_said() {
        for (flag, wanted) in [("--help", "--runtime WHAT"), ("-V", "clarateach-guest ")] {
            let said = matches!(parse(&[flag], &[]), Ok(Asked::Say(text)) if text.contains(wanted));
            assert!(said, "{flag}");
        }
    }
}
