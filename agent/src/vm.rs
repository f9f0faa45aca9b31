//! A worker that is a VM of Google's: what it was made for, and when it is taken away.
//!
//! Way: metadata -> [`settings`] -> the same [`Config`] as anywhere; beside the agent,
//! [`preemption`] waits for Google's notice.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use clarateach_domain::ids::{WorkerName, WorkshopId};
use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::{info, warn};

use crate::{
    config::{Config, UID_BASE, VmArgs},
    files,
    metadata::{Metadata, MetadataError},
};

pub(crate) mod preemption;

/// So often the metadata server is asked while it is away.
const PAUSE: Duration = Duration::from_secs(1);
/// So many times, when what it said before is kept.
const TRIES: u32 = 5;

/// What the control plane wrote into the VM's metadata, and what Google did. All of
/// it is public.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    worker: String,
    workshop: String,
    runtime: String,
    ca: String,
    seat_key: String,
    #[serde(default)]
    allowed_origins: String,
    #[serde(default)]
    control_sources: String,
    /// The address by which the outside reaches this VM; none if it has none.
    external: Option<Ipv4Addr>,
}

/// The settings of `serve`, as this VM's metadata says. Waits for the metadata server
/// if nothing of it is kept in the run directory.
///
/// # Errors
///
/// When the VM was not made for a worker, or the run directory cannot be written.
pub(crate) async fn settings(args: VmArgs, metadata: &Metadata) -> anyhow::Result<Config> {
    fs::create_dir_all(&args.run_dir)
        .with_context(|| format!("could not make --run-dir {}", args.run_dir.display()))?;
    let made = made(&args, metadata).await?;
    let write = |name: &str, text: &str| {
        let path = args.run_dir.join(name);
        files::write_public(&path, text.as_bytes())
            .with_context(|| format!("could not write {}", path.display()))?;
        anyhow::Ok(path)
    };
    let worker: WorkerName = made.worker.parse().context("clarateach-worker")?;
    let workshop: WorkshopId = made.workshop.parse().context("clarateach-workshop")?;
    let text = fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let nameservers = nameservers(&text);
    ensure!(
        !nameservers.is_empty(),
        "/etc/resolv.conf names no resolver"
    );
    let route = fs::read_to_string("/proc/net/route").context("could not read the routes")?;
    Ok(Config {
        ca: write("ca.pem", &made.ca)?,
        seat_key: write("seat-key.pem", &made.seat_key)?,
        run_dir: args.run_dir.clone(),
        worker,
        workshop,
        listen: args.listen,
        runtime: made.runtime.parse().map_err(anyhow::Error::msg)?,
        host: args.host,
        uid_base: UID_BASE,
        uplink: uplink(&route).context("this VM has no default route")?,
        enrol_dir: None,
        allowed_origins: words(&made.allowed_origins),
        control_sources: networks(&made.control_sources)?,
        closed: made.external.map(Ipv4Net::from).into_iter().collect(),
        nameservers,
        log: args.log,
    })
}

/// From the metadata server; from the run directory if that is away and knew it before.
async fn made(args: &VmArgs, metadata: &Metadata) -> anyhow::Result<Made> {
    let kept = args.run_dir.join("vm.json");
    for tries in 1.. {
        let cause = match ask(metadata).await {
            Ok(made) => {
                let text = serde_json::to_string(&made).context("could not keep it")?;
                files::write_public(&kept, text.as_bytes())
                    .with_context(|| format!("could not write {}", kept.display()))?;
                return Ok(made);
            }
            Err(MetadataError::Absent(what)) => {
                anyhow::bail!("this VM was not made for a worker: it has no {what}")
            }
            Err(cause) => cause,
        };
        warn!(
            error = &cause as &dyn std::error::Error,
            "metadata server is away"
        );
        let before = fs::read_to_string(&kept).ok().filter(|_| tries >= TRIES);
        if let Some(made) = before.and_then(|text| serde_json::from_str(&text).ok()) {
            info!("what it said before is taken");
            return Ok(made);
        }
        sleep(PAUSE).await;
    }
    unreachable!("the loop ends by returning")
}

async fn ask(metadata: &Metadata) -> Result<Made, MetadataError> {
    let attribute = async |key: &str| {
        metadata
            .get(&format!("instance/attributes/clarateach-{key}"))
            .await
    };
    let external = "instance/network-interfaces/0/access-configs/0/external-ip";
    Ok(Made {
        worker: attribute("worker").await?,
        workshop: attribute("workshop").await?,
        runtime: attribute("runtime").await?,
        ca: attribute("ca").await?,
        seat_key: attribute("seat-key").await?,
        allowed_origins: optional(attribute("allowed-origins").await)?,
        control_sources: optional(attribute("control-sources").await)?,
        external: optional(metadata.get(external).await)?.parse().ok(),
    })
}

fn optional(value: Result<String, MetadataError>) -> Result<String, MetadataError> {
    match value {
        Err(MetadataError::Absent(_)) => Ok(String::new()),
        other => other,
    }
}

fn words(text: &str) -> Vec<String> {
    let all = text.split([',', ' ', '\n']).map(str::trim);
    all.filter(|word| !word.is_empty())
        .map(Into::into)
        .collect()
}

/// Who cannot read who may drive it lets nobody.
fn networks(text: &str) -> anyhow::Result<Vec<IpNet>> {
    let parse = |word: String| {
        word.parse()
            .with_context(|| format!("clarateach-control-sources: {word}"))
    };
    words(text).into_iter().map(parse).collect()
}

/// The resolvers of a resolv.conf (man 5 resolv.conf).
fn nameservers(text: &str) -> Vec<IpAddr> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix("nameserver"));
    lines.filter_map(|rest| rest.trim().parse().ok()).collect()
}

/// The interface of the default route, as /proc/net/route lists it.
fn uplink(table: &str) -> io::Result<String> {
    let mut routes = table.lines().skip(1).map(|line| line.split_whitespace());
    let default = routes.find_map(|mut fields| {
        let name = fields.next()?;
        let (to, mask) = (fields.next()?, fields.nth(5)?);
        (to == "00000000" && mask == "00000000").then(|| name.to_owned())
    });
    default.ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_route_is_found_among_others() {
        let table = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\n\
                     docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\n\
                     ens4\t00000000\t0100800A\t0003\t0\t0\t100\t00000000\t0\n";
        assert_eq!(uplink(table).unwrap(), "ens4");
        assert!(uplink("Iface\n").is_err());
    }

    #[test]
    fn resolvers_are_read_as_the_host_writes_them() {
        let text =
            "# by dhclient\nsearch c.p.internal\nnameserver 169.254.169.254\nnameserver bad\n";
        let google: IpAddr = [169, 254, 169, 254].into();
        assert_eq!(nameservers(text), [google]);
        assert_eq!(words("https://a, https://b"), ["https://a", "https://b"]);
        let nets = networks("203.0.113.0/24,2001:db8::/32").unwrap();
        assert_eq!(nets.len(), 2);
        assert_eq!(networks("").unwrap(), []);
        assert!(networks("203.0.113.0/24,everywhere").is_err());
    }
}
