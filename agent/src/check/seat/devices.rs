//! Items 10 to 12: what the guest may make its VMM do, as the VMM itself tells
//! it, and who watches.

use std::{
    fs,
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
    time::Duration,
};

use anyhow::{Context as _, ensure};

use super::{
    open,
    process::processes,
    vmm::{Vmm, field_of},
};
use crate::{
    check::line::Line,
    runtime::firecracker::api::resources::{InstanceInfo, RateLimiter, VmConfig},
};

/// How long a VMM may take until it counts as hung.
const PROBE_WITHIN: Duration = Duration::from_secs(2);
/// What a seat's log may take on disk, in bytes.
const LOG_CAP: u64 = 256 * 1024;

/// What the VMM answered; an error is told in every line that wants the answer.
pub(super) struct Told {
    instance: Result<InstanceInfo, String>,
    pub(super) version: Result<String, String>,
    config: Result<VmConfig, String>,
}

impl Told {
    /// One that answered nothing.
    #[cfg(test)]
    pub(super) fn silent(why: &str) -> Self {
        Self {
            instance: Err(why.to_owned()),
            version: Err(why.to_owned()),
            config: Err(why.to_owned()),
        }
    }
}

/// Asks the VMM.
pub(super) async fn ask(vmm: &Vmm) -> Told {
    let api = vmm.seen.api();
    let said = |error: crate::runtime::firecracker::api::ApiError| {
        format!("{:#}", anyhow::Error::from(error))
    };
    let instance = api.instance(PROBE_WITHIN).await.map_err(said);
    if let Err(why) = &instance {
        let (version, config) = (Err(why.clone()), Err(why.clone()));
        return Told {
            instance,
            version,
            config,
        };
    }
    Told {
        instance,
        version: api.version().await.map_err(said),
        config: api.config().await.map_err(said),
    }
}

/// All of them.
pub(super) fn lines(vmm: &Vmm, told: &Told) -> Vec<Line> {
    let config = || match &told.config {
        Ok(config) => Ok(config),
        Err(why) => Err(anyhow::anyhow!("{why}")),
    };
    vec![
        Line::holds(10, "disk limits", config().and_then(disks)),
        Line::holds(10, "network limits", config().and_then(networks)),
        Line::holds(10, "entropy limit", config().and_then(entropy)),
        Line::holds(11, "serial", serial(vmm)),
        Line::holds(11, "logs", logs(vmm)),
        Line::holds(12, "answers", answers(told)),
        Line::holds(12, "watched", watched(vmm)),
    ]
}

fn disks(config: &VmConfig) -> anyhow::Result<String> {
    ensure!(!config.drives.is_empty(), "the VMM tells of no disk");
    for drive in &config.drives {
        bounded(drive.rate_limiter, || format!("disk {}", drive.drive_id))?;
        ensure!(
            drive.drive_id == "seat" || drive.is_read_only == Some(true),
            "the guest may write to the shared disk {}",
            drive.drive_id
        );
    }
    Ok(format!(
        "bytes and operations, on each of {} disks",
        config.drives.len()
    ))
}

fn networks(config: &VmConfig) -> anyhow::Result<String> {
    ensure!(!config.networks.is_empty(), "the VMM tells of no network");
    for network in &config.networks {
        let name = |way| format!("what the guest {way} by {}", network.host_dev_name);
        bounded(network.rx_rate_limiter, || name("receives"))?;
        bounded(network.tx_rate_limiter, || name("sends"))?;
    }
    Ok("bytes and packets, both ways".to_owned())
}

fn entropy(config: &VmConfig) -> anyhow::Result<String> {
    let entropy = config
        .entropy
        .context("the guest has no source of randomness")?;
    bounded(entropy.rate_limiter, || "the guest's randomness".to_owned())?;
    Ok("the guest has randomness, so much a second".to_owned())
}

fn bounded(limiter: Option<RateLimiter>, whose: impl Fn() -> String) -> anyhow::Result<()> {
    let limiter = limiter.with_context(|| format!("{} has no limit", whose()))?;
    ensure!(
        limiter.bandwidth.is_some() && limiter.ops.is_some(),
        "{} is limited in bytes or in operations, not in both",
        whose()
    );
    Ok(())
}

/// The guest's console is a pipe that never makes the VMM wait, read into files
/// of bounded size.
fn serial(vmm: &Vmm) -> anyhow::Result<String> {
    let dir = vmm.dir();
    let pipe = fs::metadata(dir.file("log.pipe")).context("there is no log pipe")?;
    let output = open::all(vmm)?
        .into_iter()
        .find(|open| open.number == 1)
        .context("its standard output is closed")?;
    ensure!(
        output.file.file_type().is_fifo()
            && (output.file.dev(), output.file.ino()) == (pipe.dev(), pipe.ino()),
        "the console goes to {}",
        output.link.display()
    );
    ensure!(
        output.flags & libc::O_NONBLOCK != 0,
        "a full pipe would stop the VMM"
    );
    let kept: u64 = ["guest.log", "guest.log.1"]
        .iter()
        .filter_map(|name| fs::metadata(dir.file(name)).ok())
        .map(|file| file.len())
        .sum();
    ensure!(kept <= LOG_CAP, "{kept} bytes of it are kept");
    Ok(format!(
        "a pipe that never waits, {} KiB of at most {} are kept",
        kept.div_ceil(1024),
        LOG_CAP / 1024
    ))
}

/// The seat's own disk is the only file that the VMM can make grow.
fn logs(vmm: &Vmm) -> anyhow::Result<String> {
    let seat = fs::metadata(vmm.proc("root").join("seat.ext4")).context("it has no disk")?;
    for open in open::all(vmm)? {
        let same = (open.file.dev(), open.file.ino()) == (seat.dev(), seat.ino());
        let in_memory = open.link.starts_with("/memfd:");
        ensure!(
            same || in_memory || !open.file.is_file() || !open.writes(),
            "it has {} open for writing",
            open.link.display()
        );
    }
    Ok("it can write to its disk and to pipes alone".to_owned())
}

fn answers(told: &Told) -> anyhow::Result<String> {
    let instance = match &told.instance {
        Ok(instance) => instance,
        Err(why) => anyhow::bail!("{why}"),
    };
    ensure!(
        instance.state == "Running",
        "the machine is {:?}",
        instance.state
    );
    Ok(format!(
        "its API answers within {PROBE_WITHIN:?}: {}",
        instance.state
    ))
}

/// Somebody holds a descriptor of the process, and so sees its end at once.
fn watched(vmm: &Vmm) -> anyhow::Result<String> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    let watcher = processes()?
        .into_iter()
        .find(|pid| *pid != own && watches(*pid, vmm.seen.pid))
        .context("no process watches it: its agent does not run")?;
    let name = fs::read_to_string(format!("/proc/{watcher}/comm")).unwrap_or_default();
    Ok(format!("by process {watcher} ({})", name.trim()))
}

fn watches(pid: i32, whom: i32) -> bool {
    let folder = format!("/proc/{pid}");
    let Ok(open) = fs::read_dir(Path::new(&folder).join("fd")) else {
        return false;
    };
    open.filter_map(Result::ok).any(|entry| {
        let link = fs::read_link(entry.path()).unwrap_or_default();
        let link = link.to_string_lossy();
        if !link.contains("[pidfd]") && !link.starts_with("pidfd:") {
            return false;
        }
        let info = Path::new(&folder).join("fdinfo").join(entry.file_name());
        let info = fs::read_to_string(info).unwrap_or_default();
        field_of(&info, "Pid") == Some(whom.to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::{super::line::Verdict, vmm::tests::unjailed},
        *,
    };

    fn config(change: impl Fn(&mut serde_json::Value)) -> VmConfig {
        let limiter = serde_json::json!({
            "bandwidth": {"size": 1, "refill_time": 1000},
            "ops": {"size": 1, "one_time_burst": null, "refill_time": 1000},
        });
        let mut config = serde_json::json!({
            "machine-config": {"vcpu_count": 1},
            "drives": [
                {"drive_id": "base", "is_read_only": true, "rate_limiter": limiter},
                {"drive_id": "seat", "is_read_only": false, "rate_limiter": limiter},
            ],
            "network-interfaces": [{
                "iface_id": "eth0", "host_dev_name": "ctp1",
                "rx_rate_limiter": limiter, "tx_rate_limiter": limiter,
            }],
            "entropy": {"rate_limiter": limiter},
        });
        change(&mut config);
        serde_json::from_value(config).unwrap()
    }

    #[test]
    fn a_device_with_half_a_limit_or_none_fails() {
        let whole = config(|_same| {});
        for looked in [disks(&whole), networks(&whole), entropy(&whole)] {
            looked.unwrap();
        }
        let half = serde_json::json!({"bandwidth": {"size": 1, "refill_time": 1}});
        for bad in [serde_json::Value::Null, half] {
            let drives = config(|c| c["drives"][1]["rate_limiter"] = bad.clone());
            assert!(disks(&drives).is_err());
            let sends = config(|c| c["network-interfaces"][0]["tx_rate_limiter"] = bad.clone());
            assert!(networks(&sends).is_err());
            assert!(entropy(&config(|c| c["entropy"]["rate_limiter"] = bad.clone())).is_err());
        }
        assert!(entropy(&config(|c| c["entropy"] = serde_json::Value::Null)).is_err());
        assert!(disks(&config(|c| c["drives"] = serde_json::json!([]))).is_err());
        assert!(disks(&config(|c| c["drives"][0]["is_read_only"] = false.into())).is_err());
    }

    #[test]
    fn a_vmm_that_does_not_answer_is_said_in_every_line_that_asked() {
        let (_dir, vmm) = unjailed();
        let lines = lines(&vmm, &Told::silent("nobody listens"));
        for name in ["disk limits", "network limits", "entropy limit", "answers"] {
            let line = lines.iter().find(|line| line.name == name).unwrap();
            assert_eq!(line.verdict, Verdict::Fails);
            assert_eq!(line.found, "nobody listens");
        }
        assert!(serial(&vmm).is_err());
    }

    #[test]
    fn who_holds_a_process_is_found() {
        let own = i32::try_from(std::process::id()).unwrap();
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        assert!(!watches(own, pid));
        let name = crate::runtime::ProcessName::of(pid).unwrap();
        let held = name.open().unwrap().unwrap();
        assert!(watches(own, pid));
        drop(held);
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
