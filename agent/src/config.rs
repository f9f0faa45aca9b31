//! Every setting of the agent, read once and checked before anything starts.
//!
//! Way: flags and `AGENT_*` variables -> [`Cli`] -> [`Config::checked`] and the
//! parts, or [`CheckArgs`] and `check/`. No setting switches a check off.

use std::{
    fs,
    net::{IpAddr, SocketAddr, SocketAddrV4},
    path::PathBuf,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use clarateach_certs::tls;
use clarateach_domain::{
    ids::{SeatNo, Slot, WorkerName, WorkshopId},
    microvm::Runtime,
    seat_token::Verifier,
};
use ipnet::{IpNet, Ipv4Net};

use crate::runtime::firecracker::FirecrackerSettings;

/// Uids of one seat's user namespace.
const UIDS_PER_SEAT: u32 = 65_536;

/// Runs on every worker: boots the seats' machines and carries learners to them.
///
/// First steps on a new host:
///   clarateach-agent check                        (can it run MicroVMs? what is missing?)
///   clarateach-agent check --runtime container    (or at least containers?)
/// On a worker that serves:
///   clarateach-agent check --seat 3 --run-dir DIR (how is seat 3's MicroVM held?)
///   clarateach-agent check --network --run-dir DIR (what can its seats reach?)
///
/// `serve` is usually started by the control plane's provisioner.
#[derive(Debug, Clone, clap::Parser)]
#[command(name = "clarateach-agent", version, verbatim_doc_comment)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to do.
#[derive(Debug, Clone, clap::Subcommand)]
pub(crate) enum Command {
    /// Serves one workshop until SIGTERM or Ctrl-C; its seats outlive it.
    ///
    /// It listens on one TLS port: the control plane comes with a client
    /// certificate, learners with a seat token. However the agent ends, no seat
    /// ends with it: the next agent adopts what runs.
    Serve(Box<Config>),
    /// Serves the workshop that this VM of Google's was made for.
    ///
    /// What `serve` is told by flags comes from the VM's metadata here, and its
    /// certificate over the control plane's first connection. Started by the unit
    /// clarateach-agent.service of the snapshot.
    ServeVm(VmArgs),
    /// Says whether this host can run seats, how one seat's MicroVM is held, or
    /// whether the walls around a worker's seats stand.
    ///
    /// A line each: OK, WARN, MISSING or WRONG, what was found, and what to do.
    /// With --seat, for a MicroVM that runs, a line for each way in which it is
    /// confined: HOLDS, FAILS, or NOT-HERE where this host has no such thing or
    /// it is for whoever runs the host to decide. With --network, the same for the
    /// worker's rules, ports and neighbours, and for what its seats reach: metadata
    /// server, agent, other seats, private networks, mail, and what they should
    /// reach. That is tried from the network of live containers, without a
    /// program of their learners, and each packet that leaves is seen; around
    /// MicroVMs, what stands is judged. Ends with 0 if all that is
    /// needed is there, with 1 if not. Nothing is changed, and root is needed to
    /// see everything.
    Check(CheckArgs),
}

/// Where this host has the parts that machines are made of.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct HostArgs {
    /// Root filesystems and guest binaries, as guest/image/ builds them.
    #[arg(
        long,
        env = "AGENT_IMAGES",
        value_name = "DIR",
        default_value = "/var/cache/clarateach/images"
    )]
    pub(crate) images: PathBuf,

    /// Firecracker's VMM, for --runtime firecracker: a static release binary.
    #[arg(
        long,
        env = "AGENT_FIRECRACKER_BIN",
        value_name = "FILE",
        default_value = "/usr/local/bin/firecracker"
    )]
    pub(crate) firecracker_bin: PathBuf,

    /// The jailer of the same version.
    #[arg(
        long,
        env = "AGENT_JAILER_BIN",
        value_name = "FILE",
        default_value = "/usr/local/bin/jailer"
    )]
    pub(crate) jailer_bin: PathBuf,

    /// A guest kernel (vmlinux) other than the images' own for this kind of host.
    #[arg(long, env = "AGENT_KERNEL", value_name = "FILE")]
    pub(crate) kernel: Option<PathBuf>,

    /// How long a MicroVM's guest may take until it answers, in seconds; without
    /// it 30, and 300 where KVM emulates ring 0.
    #[arg(long, env = "AGENT_BOOT_WITHIN", value_name = "SECONDS",
        value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(crate) boot_within: Option<u64>,

    /// Boot every MicroVM by itself instead of restoring it from a template:
    /// slower, for finding faults.
    #[arg(long, env = "AGENT_COLD_BOOT")]
    pub(crate) cold_boot: bool,

    /// Take this version of firecracker although it has known holes.
    #[arg(long, env = "AGENT_FIRECRACKER_ACCEPT", value_name = "VERSION")]
    pub(crate) firecracker_accept: Option<String>,

    /// Parent cgroup of all seats, relative to the root of each hierarchy.
    #[arg(
        long,
        env = "AGENT_CGROUP",
        value_name = "PATH",
        default_value = "clarateach/agent"
    )]
    pub(crate) cgroup: String,
}

impl HostArgs {
    /// What of it is Firecracker's.
    pub(crate) fn firecracker(&self) -> FirecrackerSettings {
        FirecrackerSettings {
            firecracker: self.firecracker_bin.clone(),
            jailer: self.jailer_bin.clone(),
            kernel: self.kernel.clone(),
            boot_within: self.boot_within.map(Duration::from_secs),
            cold_boot: self.cold_boot,
            accepted_version: self.firecracker_accept.clone(),
        }
    }
}

/// What `serve-vm` needs to know beside its VM's metadata.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct VmArgs {
    /// Directory of its whole state, made 0700.
    #[arg(
        long,
        env = "AGENT_RUN_DIR",
        value_name = "DIR",
        default_value = "/var/lib/clarateach-agent"
    )]
    pub(crate) run_dir: PathBuf,

    /// One port for the control plane and for learners.
    #[arg(
        long,
        env = "AGENT_LISTEN",
        value_name = "ADDR:PORT",
        default_value = "0.0.0.0:9090"
    )]
    pub(crate) listen: SocketAddr,

    #[command(flatten)]
    pub(crate) host: HostArgs,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// What is logged.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct LogArgs {
    /// What is logged, as in `info,clarateach_agent::proxy=debug`.
    #[arg(
        long,
        env = "AGENT_LOG",
        value_name = "FILTER",
        default_value = "info,h2=warn,hyper=warn,rustls=warn"
    )]
    pub(crate) log: String,

    /// Log in JSON, one event a line.
    #[arg(long, env = "AGENT_LOG_JSON")]
    pub(crate) log_json: bool,
}

/// First host uid of the seats' user namespaces, unless another is asked for.
pub(crate) const UID_BASE: u32 = 100_000_000;

/// What `check` looks at.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct CheckArgs {
    /// Which runtime the host should be able to run: container or firecracker.
    #[arg(
        long,
        env = "AGENT_RUNTIME",
        value_name = "RUNTIME",
        default_value = "firecracker"
    )]
    pub(crate) runtime: Runtime,

    #[command(flatten)]
    pub(crate) host: HostArgs,

    /// Look at this seat's MicroVM instead; it must run. With --network: try from
    /// this seat alone, and not from the first four.
    #[arg(long, value_name = "N", requires = "run_dir")]
    pub(crate) seat: Option<SeatNo>,

    /// Look at the worker's network instead, its agent running or dead. Takes
    /// three seconds.
    #[arg(long, requires = "run_dir")]
    pub(crate) network: bool,

    /// With --network: a server outside that should answer seats by TCP.
    #[arg(long, value_name = "ADDR:PORT", requires = "network")]
    pub(crate) server: Option<SocketAddrV4>,

    /// With --seat or --network: the run directory of the agent that serves there.
    #[arg(long, env = "AGENT_RUN_DIR", value_name = "DIR")]
    pub(crate) run_dir: Option<PathBuf>,

    /// Answer in JSON: {"ok": …, "lines": [{"name", "verdict", "found", "advice"}, …]}.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What `serve` needs to know.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Config {
    /// Directory of its whole state, made 0700; one agent at a time holds it.
    #[arg(long, env = "AGENT_RUN_DIR", value_name = "DIR")]
    pub(crate) run_dir: PathBuf,

    /// This worker's name, a DNS label.
    #[arg(long, env = "AGENT_WORKER", value_name = "NAME")]
    pub(crate) worker: WorkerName,

    /// The workshop it serves, ws-xxxxxxxxxx.
    #[arg(long, env = "AGENT_WORKSHOP", value_name = "ID")]
    pub(crate) workshop: WorkshopId,

    /// The workshop's own CA certificate, PEM: who may drive this agent.
    #[arg(long, env = "AGENT_CA", value_name = "FILE")]
    pub(crate) ca: PathBuf,

    /// The public Ed25519 key seat tokens are checked with, PEM.
    #[arg(long, env = "AGENT_SEAT_KEY", value_name = "FILE")]
    pub(crate) seat_key: PathBuf,

    /// One port for the control plane and for learners.
    #[arg(
        long,
        env = "AGENT_LISTEN",
        value_name = "ADDR:PORT",
        default_value = "0.0.0.0:9090"
    )]
    pub(crate) listen: SocketAddr,

    /// What gives a seat its machine: container or firecracker.
    #[arg(long, env = "AGENT_RUNTIME", value_name = "RUNTIME")]
    pub(crate) runtime: Runtime,

    #[command(flatten)]
    pub(crate) host: HostArgs,

    /// First host uid of the seats' user namespaces: slot n has the 65536 uids
    /// from UID + n * 65536.
    #[arg(
        long,
        env = "AGENT_UID_BASE",
        value_name = "UID",
        default_value_t = UID_BASE
    )]
    pub(crate) uid_base: u32,

    /// The interface through which seats reach the outside.
    #[arg(long, env = "AGENT_UPLINK", value_name = "IFACE")]
    pub(crate) uplink: String,

    /// Local enrolment: the signing request is written here as request.pem, and
    /// certificate.pem is awaited.
    #[arg(long, env = "AGENT_ENROL_DIR", value_name = "DIR", required = true)]
    pub(crate) enrol_dir: Option<PathBuf>,

    /// Origin whose pages may open terminals and files, as in
    /// <https://class.example.org>; may be repeated.
    #[arg(
        long = "allowed-origin",
        env = "AGENT_ALLOWED_ORIGINS",
        value_name = "URL",
        value_delimiter = ','
    )]
    pub(crate) allowed_origins: Vec<String>,

    /// Networks that the control plane and its gateway come from: under their name nobody
    /// else is let as far as a certificate. Without it they may come from anywhere.
    #[arg(
        long = "control-source",
        env = "AGENT_CONTROL_SOURCES",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub(crate) control_sources: Vec<IpNet>,

    /// A range closed to seats beside those that always are, such as this worker's
    /// external address; may be repeated.
    #[arg(
        long = "closed",
        env = "AGENT_CLOSED",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub(crate) closed: Vec<Ipv4Net>,

    /// Resolver that answers for seats, which ask it through this agent; may be
    /// repeated.
    #[arg(
        long = "nameserver",
        env = "AGENT_NAMESERVERS",
        value_name = "IP",
        value_delimiter = ','
    )]
    pub(crate) nameservers: Vec<IpAddr>,

    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Settings that were found right, with the files they name already read.
pub(crate) struct Checked {
    /// As they were given; origins in their one spelling.
    pub(crate) config: Config,
    /// The workshop's CA, PEM.
    pub(crate) ca_pem: String,
    /// Checks seat tokens.
    pub(crate) verifier: Verifier,
}

impl Config {
    /// Reads the files and refuses what cannot work, naming the flag.
    pub(crate) fn checked(mut self) -> anyhow::Result<Checked> {
        let ca_pem = fs::read_to_string(&self.ca)
            .with_context(|| format!("could not read --ca {}", self.ca.display()))?;
        tls::roots(&ca_pem).context("--ca holds no usable certificate")?;
        let key = fs::read(&self.seat_key)
            .with_context(|| format!("could not read --seat-key {}", self.seat_key.display()))?;
        let verifier = Verifier::from_pem(&key, self.workshop.clone())
            .context("--seat-key holds no usable Ed25519 public key")?;
        for origin in &mut self.allowed_origins {
            *origin = one_origin(origin).context("--allowed-origin")?;
        }
        let last = (u32::from(Slot::MAX) + 1).checked_mul(UIDS_PER_SEAT);
        let end = last.and_then(|span| self.uid_base.checked_add(span));
        // Above, the kernel ignores files' capabilities, as those of `ping`.
        let fits = end.is_some_and(|end| end <= 1 << 31);
        ensure!(
            self.uid_base >= UIDS_PER_SEAT && fits,
            "--uid-base must be at least {UIDS_PER_SEAT} and leave room for {} ranges below 2^31",
            Slot::MAX
        );
        let plain = |part: &str| !part.is_empty() && part != "." && part != "..";
        ensure!(
            self.host.cgroup.split('/').all(plain),
            "--cgroup must be a relative path without . and .."
        );
        Ok(Checked {
            config: self,
            ca_pem,
            verifier,
        })
    }
}

/// The spelling browsers use in `Origin`: scheme, host and a port that is not
/// the scheme's own, in lower case.
fn one_origin(text: &str) -> anyhow::Result<String> {
    let uri: http::Uri = text
        .parse()
        .with_context(|| format!("{text:?} is not a URL"))?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        bail!("{text:?} is not an origin such as https://class.example.org");
    };
    let usual = match scheme {
        "https" => 443,
        "http" => 80,
        other => bail!("{other:?} is not http or https"),
    };
    ensure!(
        matches!(uri.path(), "" | "/")
            && uri.query().is_none()
            && !authority.as_str().contains('@'),
        "{text:?} has more than scheme, host and port"
    );
    let host = authority.host().to_ascii_lowercase();
    Ok(match authority.port_u16() {
        Some(port) if port != usual => format!("{scheme}://{host}:{port}"),
        _ => format!("{scheme}://{host}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser as _;

    #[test]
    fn an_origin_has_one_spelling() {
        for (text, want) in [
            (
                "https://Class.Example.org",
                Some("https://class.example.org"),
            ),
            (
                "https://class.example.org:443/",
                Some("https://class.example.org"),
            ),
            ("http://127.0.0.1:8080", Some("http://127.0.0.1:8080")),
            ("http://[::1]:8080", Some("http://[::1]:8080")),
            ("*", None),
            ("https://", None),
            ("class.example.org", None),
            ("https://u@class.example.org", None),
            ("https://class.example.org/page", None),
            ("ftp://class.example.org", None),
        ] {
            assert_eq!(one_origin(text).ok().as_deref(), want, "{text}");
        }
    }

    #[test]
    fn there_is_no_agent_without_its_keys() {
        let flags = [
            "clarateach-agent",
            "serve",
            "--run-dir",
            "/x",
            "--worker",
            "w1",
            "--workshop",
            "ws-abcdefghij",
            "--runtime",
            "container",
            "--uplink",
            "eth0",
            "--enrol-dir",
            "/e",
        ];
        assert!(Cli::try_parse_from(flags).is_err());
        let with_keys = flags
            .iter()
            .chain(&["--ca", "/none", "--seat-key", "/none"]);
        let Command::Serve(config) = Cli::try_parse_from(with_keys).unwrap().command else {
            panic!("not what was asked");
        };
        let refused = config.checked().err().unwrap();
        assert!(format!("{refused:#}").contains("--ca"), "{refused:#}");
    }
}
