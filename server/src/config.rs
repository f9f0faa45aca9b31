//! Every flag and variable of the control plane, read and checked once.
//!
//! Way: arguments and environment -> [`Cli`] -> [`ServeArgs::check`] -> the rest of
//! the program, which asks the environment nothing.

mod database;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use clarateach_domain::{
    cost::HourlyPrice,
    ids::{Slot, WorkshopId},
    microvm::Runtime,
    seat_token, sweep,
};

use crate::{
    browsers::WorkerDomain,
    provisioner::{gcp::GcpArgs, local},
};

/// The control plane of `ClaraTeach`: workshops, seats and the workers under them.
///
/// First steps on one box:
///   clarateach-server serve --data-dir ./data --agent-bin ./clarateach-agent --images ./images
///   cat ./data/admin.token          (the bearer token of the first admin)
#[derive(Debug, Parser)]
#[command(name = "clarateach-server", version, verbatim_doc_comment)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How logs look on standard error.
    #[arg(
        long,
        global = true,
        env = "CLARATEACH_LOG_FORMAT",
        default_value = "text"
    )]
    pub log_format: LogFormat,
    /// Which logs appear, as in `info,clarateach_server=debug`.
    #[arg(
        long,
        global = true,
        env = "CLARATEACH_LOG",
        default_value = "info,sqlx=warn,sea_orm_migration=warn"
    )]
    pub log: String,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Runs the control plane until SIGTERM or Ctrl-C; workshops outlive it.
    Serve(Box<ServeArgs>),
    /// Ends and removes everything of a data directory on this box.
    Down(DownArgs),
    /// Says whether workers can be made in Google's cloud: credentials, boot disk,
    /// firewall and quota, a line each, and what to do. Changes nothing; ends with 1 if
    /// something is missing.
    Check(Box<CheckArgs>),
    /// Writes an hour's client certificate for an agent, for an operator.
    OperatorCert(OperatorCertArgs),
}

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What is done with workers of this installation that the database does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sweep {
    /// Those that are surely left over are removed; those newer than the newest row are
    /// left alone, since the database may have been put back.
    Remove,
    /// They are told in the log, and nothing is removed.
    Report,
    /// Those newer than the newest row are removed, too.
    All,
}

impl From<Sweep> for sweep::Mode {
    fn from(asked: Sweep) -> Self {
        match asked {
            Sweep::Remove => Self::Remove,
            Sweep::Report => Self::Report,
            Sweep::All => Self::All,
        }
    }
}

/// Where workers come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProvisionerKind {
    /// Network namespaces on this box.
    Local,
    /// Spot VMs of Google's cloud; --gcp-project and --gcp-service-account say whose.
    Gcp,
}

/// Where everything is kept.
#[derive(Debug, Clone, Args)]
pub struct DataArgs {
    /// Database, keys, admin token and local workers. Back up `clarateach.db` (or the
    /// PostgreSQL database) and `master.key` together: one is nothing without the other.
    #[arg(
        long,
        env = "CLARATEACH_DATA_DIR",
        default_value = "/var/lib/clarateach"
    )]
    pub data_dir: PathBuf,
    /// A PostgreSQL database for all of it but keys and workers, as
    /// `postgres://USER@HOST/NAME`: several control planes may share it, each with the same
    /// `master.key`. A password goes into a file that PGPASSFILE names. SQLite in the data
    /// directory when absent.
    #[arg(long, env = "CLARATEACH_DATABASE", value_name = "URL", value_parser = database::Url)]
    pub database: Option<String>,
}

impl DataArgs {
    /// SQLite's database.
    pub fn sqlite(&self) -> PathBuf {
        self.data_dir.join("clarateach.db")
    }

    /// The key that secrets in the database are sealed under.
    pub fn master_key(&self) -> PathBuf {
        self.data_dir.join("master.key")
    }

    /// The first admin's API token.
    pub fn admin_token(&self) -> PathBuf {
        self.data_dir.join("admin.token")
    }

    /// Locked by the one server that runs on it, or shared by those that have a database
    /// in common.
    pub fn lock(&self) -> PathBuf {
        self.data_dir.join("server.lock")
    }
}

/// Settings of `serve`.
#[derive(Debug, Clone, Args)]
pub struct ServeArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub data: DataArgs,
    /// Where to listen. Beyond this machine only with a certificate, or behind
    /// a proxy that has one.
    #[arg(long, env = "CLARATEACH_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Certificate chain of this server, PEM.
    #[arg(long, env = "CLARATEACH_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, env = "CLARATEACH_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// A proxy that terminates TLS stands before this server: its
    /// X-Forwarded-For and X-Forwarded-Proto are believed.
    #[arg(long, env = "CLARATEACH_TRUSTED_PROXY", conflicts_with = "tls_cert")]
    pub trusted_proxy: bool,
    /// The URL people reach this server by, without a path; each request's own
    /// host when absent.
    #[arg(long, env = "CLARATEACH_PUBLIC_URL", value_parser = origin)]
    pub public_url: Option<String>,
    /// Pages of this origin may call the API and agents from a browser.
    #[arg(long = "allowed-origin", env = "CLARATEACH_ALLOWED_ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub allowed_origins: Vec<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub browsers: BrowserArgs,
    /// Where workers come from.
    #[arg(long, env = "CLARATEACH_PROVISIONER", default_value = "local")]
    pub provisioner: ProvisionerKind,
    /// What is done with workers that the database does not know.
    #[arg(long, env = "CLARATEACH_SWEEP", default_value = "remove")]
    pub sweep: Sweep,
    /// What a worker costs an hour, in US dollars such as 0.24, for estimates. Local workers
    /// cost nothing unless it is said; what cloud workers cost is unknown then.
    #[arg(long, env = "CLARATEACH_WORKER_HOURLY_USD", value_parser = HourlyPrice::parse)]
    pub worker_hourly_usd: Option<HourlyPrice>,
    /// The agent's binary, for local workers.
    #[arg(long, env = "CLARATEACH_AGENT_BIN")]
    pub agent_bin: Option<PathBuf>,
    /// Root filesystems and guests, for local workers.
    #[arg(
        long,
        env = "CLARATEACH_IMAGES",
        default_value = "/var/cache/clarateach/images"
    )]
    pub images: PathBuf,
    /// Runtimes that workers here can give.
    #[arg(
        long = "runtime",
        env = "CLARATEACH_RUNTIMES",
        value_delimiter = ',',
        default_value = "container"
    )]
    pub runtimes: Vec<Runtime>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub firecracker: FirecrackerArgs,
    /// Resolver for seats; those of the host when absent.
    #[arg(
        long = "nameserver",
        env = "CLARATEACH_NAMESERVERS",
        value_delimiter = ','
    )]
    pub nameservers: Vec<IpAddr>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub gcp: GcpArgs,
    /// Where allocations of all installations on this host lie.
    #[arg(long, hide = true, default_value = local::DEFAULT_ALLOC_DIR)]
    pub alloc_dir: PathBuf,
    /// First address of the /16 that local workers share.
    #[arg(long, env = "CLARATEACH_LOCAL_SUBNET", default_value = local::DEFAULT_SUBNET)]
    pub local_subnet: Ipv4Addr,
    /// Kills the server at this point of its loop (tests of debug builds).
    #[arg(long, hide = true)]
    pub crash_at: Option<String>,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub limits: LimitArgs,
}

/// How browsers come straight to workers. Without it they come through this server.
#[derive(Debug, Clone, Default, Args)]
pub struct BrowserArgs {
    /// What browsers call workers, such as {address}.w.example.org (an IPv4 address with
    /// hyphens for dots) or {worker}.w.example.org; somebody's DNS must answer for such
    /// names. Needs a certificate for all of them, and --public-url.
    #[arg(long, env = "CLARATEACH_WORKER_DOMAIN", value_parser = WorkerDomain::parse,
        requires = "worker_tls_cert")]
    pub worker_domain: Option<WorkerDomain>,
    /// Certificate chain for these names, PEM. Every worker gets it with its key.
    #[arg(long, env = "CLARATEACH_WORKER_TLS_CERT", requires_all = ["worker_tls_key", "worker_domain"])]
    pub worker_tls_cert: Option<PathBuf>,
    /// Its private key, PEM.
    #[arg(long, env = "CLARATEACH_WORKER_TLS_KEY", requires = "worker_tls_cert")]
    pub worker_tls_key: Option<PathBuf>,
}

/// What local workers start MicroVMs with; their agents check it.
#[derive(Debug, Clone, Default, Args)]
pub struct FirecrackerArgs {
    /// Firecracker's VMM, for --runtime firecracker.
    #[arg(
        long,
        env = "CLARATEACH_FIRECRACKER_BIN",
        default_value = "/usr/local/bin/firecracker"
    )]
    pub firecracker_bin: PathBuf,
    /// The jailer of the same version.
    #[arg(
        long,
        env = "CLARATEACH_JAILER_BIN",
        default_value = "/usr/local/bin/jailer"
    )]
    pub jailer_bin: PathBuf,
    /// Take this version of firecracker although it has known holes: for
    /// trying out, never for a class.
    #[arg(long, env = "CLARATEACH_FIRECRACKER_ACCEPT", value_name = "VERSION")]
    pub firecracker_accept: Option<String>,
}

/// How much there may be.
#[derive(Debug, Clone, Args)]
pub struct LimitArgs {
    /// Seats on one worker, 1 to 200.
    #[arg(long, env = "CLARATEACH_SEATS_PER_WORKER", default_value = "50")]
    pub seats_per_worker: NonZeroU32,
    /// Seats of one workshop.
    #[arg(long, env = "CLARATEACH_MAX_SEATS_PER_WORKSHOP", default_value = "500")]
    pub max_seats_per_workshop: NonZeroU32,
    /// Seats of all workshops of one owner together.
    #[arg(long, env = "CLARATEACH_MAX_SEATS_PER_OWNER", default_value = "1000")]
    pub max_seats_per_owner: NonZeroU32,
    /// Workers of all workshops together.
    #[arg(long, env = "CLARATEACH_MAX_WORKERS", default_value = "20")]
    pub max_workers: NonZeroU32,
    /// The longest life of a workshop, such as 24h.
    #[arg(long, env = "CLARATEACH_MAX_TTL", default_value = "24h", value_parser = span)]
    pub max_ttl: Duration,
    /// The life of a workshop whose creator does not say.
    #[arg(long, env = "CLARATEACH_DEFAULT_TTL", default_value = "4h", value_parser = span)]
    pub default_ttl: Duration,
    /// The life of a seat token, 5s to 15m.
    #[arg(long, env = "CLARATEACH_SEAT_TOKEN_TTL", default_value = "15m", value_parser = span)]
    pub seat_token_ttl: Duration,
}

/// Settings of `check`.
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    /// Look at a project of Google's cloud.
    #[arg(long = "gcp", required = true)]
    pub of_gcp: bool,
    /// Where workers come from.
    #[arg(long, hide = true, default_value = "gcp")]
    pub provisioner: ProvisionerKind,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub gcp: GcpArgs,
    /// The longest life of a workshop, such as 24h.
    #[arg(long, env = "CLARATEACH_MAX_TTL", default_value = "24h", value_parser = span)]
    pub max_ttl: Duration,
}

/// Settings of `down`.
#[derive(Debug, Clone, Args)]
pub struct DownArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub data: DataArgs,
    /// Remove the workers only; database and keys stay.
    #[arg(long)]
    pub keep_data: bool,
    /// Where allocations of all installations on this host lie.
    #[arg(long, hide = true, default_value = local::DEFAULT_ALLOC_DIR)]
    pub alloc_dir: PathBuf,
}

/// Settings of `operator-cert`.
#[derive(Debug, Clone, Args)]
pub struct OperatorCertArgs {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub data: DataArgs,
    /// The workshop whose agents are to be asked.
    #[arg(long)]
    pub workshop: WorkshopId,
    /// Where `ca.pem`, `client.pem` and `client.key` go; made 0700 if missing.
    #[arg(long)]
    pub out: PathBuf,
}

/// Settings that do not go together.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// Learners' tokens would travel in the clear.
    #[error(
        "refusing to listen on {0} without TLS: tokens and keystrokes would travel in the clear.\n\
         Make a certificate:\n  \
         openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 \\\n    \
         -subj /CN={1} -addext basicConstraints=critical,CA:FALSE \\\n    \
         -addext subjectAltName={2} -keyout tls.key -out tls.crt\n\
         and start with --tls-cert tls.crt --tls-key tls.key; or listen on 127.0.0.1; or pass\n\
         --trusted-proxy when a proxy that terminates TLS stands before this server."
    )]
    Clear(SocketAddr, String, String),
    /// Workers would refuse every page.
    #[error(
        "--worker-domain needs --public-url (or --allowed-origin): workers let in pages of \
         known addresses alone"
    )]
    Pageless,
    /// A number is out of range.
    #[error("--{flag} must be {must}")]
    Range {
        /// The flag.
        flag: &'static str,
        /// What it may be.
        must: &'static str,
    },
}

impl ServeArgs {
    /// Refuses settings that are unsafe or make no sense together.
    pub fn check(&self) -> Result<(), BadConfig> {
        let limits = &self.limits;
        let range = |ok: bool, flag, must| ok.then_some(()).ok_or(BadConfig::Range { flag, must });
        range(
            limits.seats_per_worker.get() <= u32::from(Slot::MAX),
            "seats-per-worker",
            "1 to 200",
        )?;
        range(
            limits.default_ttl <= limits.max_ttl,
            "default-ttl",
            "at most --max-ttl",
        )?;
        range(
            limits.max_ttl <= Duration::from_hours(24 * 30) && limits.max_ttl >= MIN_TTL,
            "max-ttl",
            "1s to 30d",
        )?;
        range(
            (Duration::from_secs(5)..=seat_token::MAX_LIFE).contains(&limits.seat_token_ttl),
            "seat-token-ttl",
            "5s to 15m",
        )?;
        let pageless = self.public_url.is_none() && self.allowed_origins.is_empty();
        if self.browsers.worker_domain.is_some() && pageless {
            return Err(BadConfig::Pageless);
        }
        let safe = self.tls_cert.is_some() || self.trusted_proxy;
        if !safe && !self.listen.ip().is_loopback() {
            let any = self.listen.ip().is_unspecified();
            let (name, san) = if any {
                ("clarateach".into(), "IP:YOUR-ADDRESS,DNS:YOUR-NAME".into())
            } else {
                let ip = self.listen.ip();
                (ip.to_string(), format!("IP:{ip}"))
            };
            return Err(BadConfig::Clear(self.listen, name, san));
        }
        Ok(())
    }
}

/// The shortest life of a workshop.
pub const MIN_TTL: Duration = Duration::from_secs(1);

/// A span such as `90s`, `30m`, `4h` or `2d`.
pub fn span(text: &str) -> Result<Duration, String> {
    let bad = || format!("{text:?} is no span of time: write 90s, 30m, 4h or 2d");
    if !text.is_ascii() {
        return Err(bad());
    }
    let (number, unit) = text.split_at(text.len().saturating_sub(1));
    let number: u64 = number.parse().map_err(|_| bad())?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(bad()),
    };
    number
        .checked_mul(seconds)
        .filter(|seconds| *seconds <= 86_400 * 3660)
        .map(Duration::from_secs)
        .ok_or_else(bad)
}

/// An origin: scheme, host and perhaps a port, nothing else.
fn origin(text: &str) -> Result<String, String> {
    let bad = || format!("{text:?} is no origin: write http://HOST[:PORT] or https://HOST[:PORT]");
    let uri: http::Uri = text.parse().map_err(|_| bad())?;
    let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.authority()) else {
        return Err(bad());
    };
    let plain = matches!(scheme, "http" | "https")
        && matches!(uri.path(), "" | "/")
        && uri.query().is_none()
        && !host.as_str().contains('@');
    plain
        .then(|| format!("{scheme}://{}", host.as_str().to_ascii_lowercase()))
        .ok_or_else(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(flags: &[&str]) -> ServeArgs {
        let args = ["clarateach-server", "serve"].iter().chain(flags);
        match Cli::try_parse_from(args).unwrap().command {
            Command::Serve(serve) => *serve,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_flags_are_well_formed() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
        assert_eq!(serve(&[]).check(), Ok(()));
    }

    #[test]
    fn learners_never_travel_in_the_clear() {
        for (flags, safe) in [
            (&["--listen", "127.0.0.1:0"][..], true),
            (&["--listen", "[::1]:8080"], true),
            (&["--listen", "0.0.0.0:8080"], false),
            (&["--listen", "192.0.2.7:8080"], false),
            (&["--listen", "0.0.0.0:8080", "--trusted-proxy"], true),
            (
                &[
                    "--listen",
                    "0.0.0.0:8080",
                    "--tls-cert",
                    "c",
                    "--tls-key",
                    "k",
                ],
                true,
            ),
        ] {
            assert_eq!(serve(flags).check().is_ok(), safe, "{flags:?}");
        }
        let said = serve(&["--listen", "0.0.0.0:8080"]).check().unwrap_err();
        assert!(said.to_string().contains("openssl req -x509"), "{said}");
    }

    #[test]
    fn numbers_out_of_range_stop_the_start() {
        for flags in [
            ["--seats-per-worker", "201"],
            ["--default-ttl", "25h"],
            ["--seat-token-ttl", "16m"],
            ["--max-ttl", "31d"],
        ] {
            assert!(serve(&flags).check().is_err(), "{flags:?}");
        }
    }

    #[test]
    fn workers_have_names_only_with_a_certificate_and_for_known_pages() {
        let files = ["--worker-tls-cert", "c", "--worker-tls-key", "k"];
        let named = |rest: &[&'static str]| {
            let flags = [
                "clarateach-server",
                "serve",
                "--worker-domain",
                "w.example.org",
            ];
            Cli::try_parse_from(flags.iter().chain(rest)).is_ok()
        };
        assert!(!named(&[]) && !named(&files[..2]) && named(&files));
        let flags = ["--worker-domain", "w.example.org"];
        let pageless = serve(&[&flags[..], &files].concat());
        assert_eq!(pageless.check(), Err(BadConfig::Pageless));
        let page = ["--public-url", "https://class.example"];
        assert_eq!(serve(&[&flags[..], &files, &page].concat()).check(), Ok(()));
    }

    #[test]
    fn spans_and_origins_have_one_form() {
        for (text, want) in [
            ("90s", Some(90)),
            ("4h", Some(14_400)),
            ("2d", Some(172_800)),
            ("", None),
            ("h", None),
            ("-1h", None),
            ("1.5h", None),
            ("10", None),
            ("9é", None),
            ("99999999999999999999s", None),
            ("999999999d", None),
        ] {
            assert_eq!(span(text).ok(), want.map(Duration::from_secs), "{text:?}");
        }
        for (text, want) in [
            ("https://Class.example", Some("https://class.example")),
            ("http://127.0.0.1:8080/", Some("http://127.0.0.1:8080")),
            ("https://a.example/path", None),
            ("https://u@a.example", None),
            ("ftp://a.example", None),
            ("*", None),
        ] {
            assert_eq!(origin(text).ok().as_deref(), want, "{text:?}");
        }
    }
}
