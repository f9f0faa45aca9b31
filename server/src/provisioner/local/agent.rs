//! One worker's agent process: its files, its command line, whether it lives.
//!
//! It is started inside the worker's network namespace and a mount namespace
//! of its own, in a session of its own, so that nothing that happens to the
//! server reaches it. It lives while it holds `run/agent.lock`.

use std::{
    fs::{self, OpenOptions},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use anyhow::{Context, bail};
use clarateach_domain::microvm::Runtime;
use fs4::fs_std::FileExt;
use tokio::time::{Instant, sleep};

use super::{AGENT_PORT, LocalSettings, WorkerSpec, alloc, alloc::Allocation, ground::UPLINK};

/// The log is cut when it is longer.
const LOG_LIMIT: u64 = 16 << 20;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the agent reads at its start. All of it is public.
pub(super) fn write_files(dir: &Path, worker: &WorkerSpec) -> anyhow::Result<()> {
    for part in ["", "run", "enrol"] {
        let path = dir.join(part);
        fs::create_dir_all(&path).with_context(|| format!("could not make {}", path.display()))?;
        private(&path)?;
    }
    for (file, text) in [
        ("ca.pem", &worker.ca_certificate),
        ("seat-key.pem", &worker.seat_key),
    ] {
        alloc::write_whole(&dir.join(file), text.as_bytes())?;
    }
    Ok(())
}

fn private(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
        .with_context(|| format!("could not close {} to others", path.display()))
}

/// Whether an agent holds the worker's lock.
pub(super) fn lives(dir: &Path) -> anyhow::Result<bool> {
    let path = dir.join("run").join("agent.lock");
    let file = match OpenOptions::new().read(true).open(&path) {
        Ok(file) => file,
        Err(none) if none.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(cause) => {
            return Err(cause).with_context(|| format!("could not open {}", path.display()));
        }
    };
    // A shared lock for a blink: an agent that starts meanwhile tries again.
    match FileExt::try_lock_shared(&file) {
        Ok(free) => Ok(!free),
        Err(cause) => Err(cause).with_context(|| format!("could not try {}", path.display())),
    }
}

/// Cuts a log that grew too long; the agent appends, so it goes on at the start.
pub(super) fn bound_log(dir: &Path) -> anyhow::Result<()> {
    let path = dir.join("agent.log");
    if fs::metadata(&path).is_ok_and(|log| log.len() > LOG_LIMIT) {
        fs::copy(&path, dir.join("agent.log.1")).context("could not keep the agent's log")?;
        let log = OpenOptions::new().write(true).open(&path);
        log.and_then(|log| log.set_len(0))
            .context("could not cut the agent's log")?;
    }
    Ok(())
}

/// A command line, ready to run.
pub(super) struct Start {
    dir: PathBuf,
    args: Vec<String>,
}

impl Start {
    pub(super) fn new(
        settings: &LocalSettings,
        place: &Allocation,
        worker: &WorkerSpec,
        dir: &Path,
    ) -> anyhow::Result<Self> {
        let agent = fs::canonicalize(&settings.agent)
            .with_context(|| format!("could not find the agent {}", settings.agent.display()))?;
        let dir = fs::canonicalize(dir).context("could not find the worker's directory")?;
        let text = |path: &Path| path.display().to_string();
        let mut args: Vec<String> = [
            "nsenter".to_owned(),
            format!("--net={}", text(&place.netns_path())),
            "unshare".into(),
            "--mount".into(),
            "--propagation".into(),
            "private".into(),
            "--".into(),
            text(&agent),
            "serve".into(),
        ]
        .into();
        let mut flag = |name: &str, value: String| args.extend([format!("--{name}"), value]);
        flag("run-dir", text(&dir.join("run")));
        flag("worker", worker.name.to_string());
        flag("workshop", worker.workshop.to_string());
        flag("ca", text(&dir.join("ca.pem")));
        flag("seat-key", text(&dir.join("seat-key.pem")));
        flag("listen", format!("{}:{AGENT_PORT}", place.address()));
        flag("runtime", worker.runtime.to_string());
        flag("images", text(&settings.images));
        if worker.runtime == Runtime::Firecracker {
            let vmm = &settings.firecracker;
            flag("firecracker-bin", text(&vmm.firecracker_bin));
            flag("jailer-bin", text(&vmm.jailer_bin));
            if let Some(version) = &vmm.firecracker_accept {
                flag("firecracker-accept", version.clone());
            }
        }
        flag("uid-base", place.uid_base().to_string());
        flag("cgroup", place.cgroup());
        flag("uplink", UPLINK.to_owned());
        flag("enrol-dir", text(&dir.join("enrol")));
        for origin in &settings.allowed_origins {
            flag("allowed-origin", origin.clone());
        }
        let mut nameservers = settings.nameservers.clone();
        if nameservers.is_empty() {
            nameservers = resolvers();
        }
        for nameserver in nameservers {
            flag("nameserver", nameserver.to_string());
        }
        Ok(Self { dir, args })
    }
}

/// Starts the agent and waits until it holds its lock; its pid.
pub(super) async fn start(command: Start, within: Duration) -> anyhow::Result<u32> {
    let path = command.dir.join("agent.log");
    let _ = fs::rename(&path, command.dir.join("agent.log.1"));
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .context("could not open the agent's log")?;
    // setsid, nsenter and unshare become the agent one after the other: the
    // child's pid is the agent's.
    let mut child = tokio::process::Command::new("setsid")
        .args(&command.args)
        .current_dir("/")
        .env_clear()
        .env("PATH", PATH)
        .stdin(Stdio::null())
        .stdout(log.try_clone().context("could not share the agent's log")?)
        .stderr(log)
        .kill_on_drop(false)
        .spawn()
        .context("could not run setsid")?;
    let pid = child.id().unwrap_or_default();
    let deadline = Instant::now() + within;
    loop {
        if lives(&command.dir)? {
            // Reaped by its task as long as this server lives, by init later.
            tokio::spawn(async move { child.wait().await });
            return Ok(pid);
        }
        if let Some(status) = child.try_wait().context("could not ask after the agent")? {
            bail!("the agent ended with {status}: {}", tail(&path));
        }
        if Instant::now() >= deadline {
            let _ = child.start_kill();
            bail!("the agent did not take its lock: {}", tail(&path));
        }
        sleep(Duration::from_millis(10)).await;
    }
}

/// The last line of a log.
fn tail(path: &Path) -> String {
    let log = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&log);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or("it said nothing")
        .chars()
        .take(300)
        .collect()
}

/// The host's resolvers that a worker can reach: not those on its loopback.
fn resolvers() -> Vec<std::net::IpAddr> {
    let of = |path: &str| -> Vec<std::net::IpAddr> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let lines = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix("nameserver"));
        lines
            .filter_map(|rest| rest.trim().parse().ok())
            .filter(|ip: &std::net::IpAddr| !ip.is_loopback() && ip.is_ipv4())
            .collect()
    };
    let mut found = of("/etc/resolv.conf");
    if found.is_empty() {
        // systemd-resolved keeps what it asks itself here.
        found = of("/run/systemd/resolve/resolv.conf");
    }
    found
}
