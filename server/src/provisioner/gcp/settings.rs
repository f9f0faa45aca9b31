//! What VMs are made of, checked once.
//!
//! Way: flags -> [`GcpArgs`] -> [`GcpSettings`], in which every name has Google's
//! form and the machine can run machines of its own.

use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, builder::ArgPredicate};
use ipnet::IpNet;

/// Google's limit: a VM with a longest run time may have at most this.
const MAX_RUN: Duration = Duration::from_hours(24 * 120);
/// A class's VM may outlive its class by so much at most, whatever happens here.
const AFTER_CLASS: Duration = Duration::from_mins(30);
/// Families taken: Intel, as nested VMs want, and general or compute optimised. Google
/// lets no E2, AMD, Arm or memory optimised machine nest; newer families are refused
/// until somebody has seen one do it.
const NESTING: [&str; 4] = ["n1", "n2", "c2", "c3"];

/// Flags of `--provisioner gcp`.
#[derive(Debug, Clone, Default, Args)]
pub struct GcpArgs {
    /// Google Cloud project of the workers.
    #[arg(
        id = "gcp_project",
        long = "gcp-project",
        env = "CLARATEACH_GCP_PROJECT",
        required_if_eq("provisioner", "gcp")
    )]
    pub project: Option<String>,
    /// Zones to make workers in, in the order in which they are tried.
    #[arg(
        id = "gcp_zones",
        long = "gcp-zone",
        env = "CLARATEACH_GCP_ZONES",
        value_delimiter = ',',
        default_values_if("gcp_project", ArgPredicate::IsPresent, ["us-central1-a", "us-central1-b", "us-central1-f"])
    )]
    pub zones: Vec<String>,
    /// Machine type: of an Intel family that can nest.
    #[arg(
        id = "gcp_machine_type",
        long = "gcp-machine-type",
        env = "CLARATEACH_GCP_MACHINE_TYPE",
        default_value = "n2-standard-8"
    )]
    pub machine_type: String,
    /// Least processor platform: templates of `MicroVMs` want like processors.
    #[arg(
        id = "gcp_min_cpu",
        long = "gcp-min-cpu-platform",
        env = "CLARATEACH_GCP_MIN_CPU_PLATFORM",
        default_value = "Intel Cascade Lake"
    )]
    pub min_cpu_platform: String,
    /// The boot disk's snapshot, as scripts/setup-clara2-snapshot.sh makes it.
    #[arg(
        id = "gcp_snapshot",
        long = "gcp-snapshot",
        env = "CLARATEACH_GCP_SNAPSHOT",
        default_value = "clara2-snapshot"
    )]
    pub snapshot: String,
    /// An image family made from it, in place of the snapshot: Google limits how
    /// often disks are made from one snapshot.
    #[arg(
        id = "gcp_image_family",
        long = "gcp-image-family",
        env = "CLARATEACH_GCP_IMAGE_FAMILY"
    )]
    pub image_family: Option<String>,
    /// Boot disk in GB; not less than the snapshot.
    #[arg(id = "gcp_disk_gb", long = "gcp-disk-gb", env = "CLARATEACH_GCP_DISK_GB",
        default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=65_536))]
    pub disk_gb: u32,
    /// Network of the workers.
    #[arg(
        id = "gcp_network",
        long = "gcp-network",
        env = "CLARATEACH_GCP_NETWORK",
        default_value = "default"
    )]
    pub network: String,
    /// Service account of the workers: one without any role.
    #[arg(
        id = "gcp_service_account",
        long = "gcp-service-account",
        env = "CLARATEACH_GCP_SERVICE_ACCOUNT",
        required_if_eq("provisioner", "gcp")
    )]
    pub service_account: Option<String>,
    /// Spot VMs: cheap, and Google may take them at any time.
    #[arg(id = "gcp_spot", long = "spot", env = "CLARATEACH_GCP_SPOT",
        default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    pub spot: bool,
    /// Failures to get a spot VM after which one is made at the full price; 0 for
    /// never.
    #[arg(
        id = "gcp_on_demand_after",
        long = "on-demand-after",
        env = "CLARATEACH_GCP_ON_DEMAND_AFTER",
        default_value_t = 0
    )]
    pub on_demand_after: u32,
    /// Networks that this control plane dials workers from: their agents refuse control
    /// connections from elsewhere. Without it they take them from anywhere, certificate
    /// and all. Learners come by the same port from anywhere either way.
    #[arg(
        id = "gcp_control_source",
        long = "control-source",
        env = "CLARATEACH_CONTROL_SOURCES",
        value_name = "CIDR",
        value_delimiter = ','
    )]
    pub control_sources: Vec<IpNet>,
    /// So many seconds before it is taken away a spot VM is told, where Google's API takes
    /// that: 0 to 120. Without it, or where the project may not ask for it, half a minute is
    /// all there is.
    #[arg(id = "gcp_preemption_notice", long = "gcp-preemption-notice",
        env = "CLARATEACH_GCP_PREEMPTION_NOTICE", value_name = "SECONDS",
        default_value_t = 120, value_parser = clap::value_parser!(u32).range(0..=120))]
    pub preemption_notice: u32,
    /// Another address of Google's API; on this machine only, for tests.
    #[arg(id = "gcp_endpoint", long = "gcp-endpoint", hide = true)]
    pub endpoint: Option<String>,
}

/// The boot disk's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A snapshot of the project.
    Snapshot(String),
    /// The newest image of a family of the project.
    ImageFamily(String),
}

/// Checked settings.
#[derive(Debug, Clone)]
pub struct GcpSettings {
    /// The project.
    pub project: String,
    /// Zones in the order in which they are tried; at least one.
    pub zones: Vec<String>,
    /// Machine type.
    pub machine_type: String,
    /// Least processor platform.
    pub min_cpu_platform: String,
    /// The boot disk's content.
    pub source: Source,
    /// The boot disk's size in GB.
    pub disk_gb: u32,
    /// Network.
    pub network: String,
    /// E-mail address of the workers' service account.
    pub service_account: String,
    /// Whether VMs are spot VMs.
    pub spot: bool,
    /// Failures after which a VM is no spot VM; 0 for never.
    pub on_demand_after: u32,
    /// After so long Google ends a VM, whatever happens here.
    pub max_run: Duration,
    /// Where agents take control connections from; empty for anywhere.
    pub control_sources: Vec<IpNet>,
    /// How long before its end a spot VM is to be told; zero for not asking.
    pub preemption_notice: Duration,
    /// Names this installation in labels.
    pub installation: String,
    /// Another address of the API.
    pub endpoint: Option<String>,
}

impl GcpSettings {
    /// Checks the flags; `max_ttl` is the longest life of a workshop.
    ///
    /// # Errors
    ///
    /// Naming the flag that cannot be.
    pub fn checked(
        args: &GcpArgs,
        max_ttl: Duration,
        installation: String,
    ) -> anyhow::Result<Self> {
        let project = args.project.clone().context("--gcp-project is missing")?;
        ensure!(
            is_label(&project),
            "--gcp-project {project:?} is no project id"
        );
        ensure!(!args.zones.is_empty(), "--gcp-zone is missing");
        for zone in &args.zones {
            let ending = zone.rsplit('-').next().unwrap_or_default();
            ensure!(
                is_label(zone) && zone.matches('-').count() == 2 && ending.len() == 1,
                "--gcp-zone {zone:?} is no zone such as us-central1-a"
            );
        }
        let family = args.machine_type.split('-').next().unwrap_or_default();
        ensure!(
            is_label(&args.machine_type) && NESTING.contains(&family),
            "--gcp-machine-type {}: machines of the family {family:?} cannot run MicroVMs; take one \
             of {}, such as n2-standard-8",
            args.machine_type,
            NESTING.join(", ")
        );
        let source = match &args.image_family {
            Some(family) => Source::ImageFamily(family.clone()),
            None => Source::Snapshot(args.snapshot.clone()),
        };
        let (Source::Snapshot(name) | Source::ImageFamily(name)) = &source;
        ensure!(
            is_label(name),
            "{name:?} is no name of a snapshot or image family"
        );
        ensure!(
            is_label(&args.network),
            "--gcp-network {:?} is no name of a network",
            args.network
        );
        let account = args
            .service_account
            .clone()
            .context("--gcp-service-account is missing")?;
        ensure!(
            account.split('@').count() == 2 && !account.contains(char::is_whitespace),
            "--gcp-service-account {account:?} is no e-mail address of a service account"
        );
        if let Some(endpoint) = &args.endpoint {
            loopback(endpoint)?;
        }
        let max_run = max_ttl + AFTER_CLASS;
        ensure!(
            max_run <= MAX_RUN,
            "--max-ttl is longer than a VM may run at Google's"
        );
        Ok(Self {
            project,
            zones: args.zones.clone(),
            machine_type: args.machine_type.clone(),
            min_cpu_platform: args.min_cpu_platform.clone(),
            source,
            disk_gb: args.disk_gb,
            network: args.network.clone(),
            service_account: account,
            spot: args.spot,
            on_demand_after: args.on_demand_after,
            max_run,
            control_sources: args.control_sources.clone(),
            preemption_notice: Duration::from_secs(args.preemption_notice.into()),
            installation,
            endpoint: args.endpoint.clone(),
        })
    }
}

/// RFC 1035, as Google's names are.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Credentials go to this address: it is Google's, or a test's on this machine.
fn loopback(endpoint: &str) -> anyhow::Result<()> {
    let uri: http::Uri = endpoint
        .parse()
        .with_context(|| format!("--gcp-endpoint {endpoint:?} is no URL"))?;
    let host = uri.host().unwrap_or_default();
    let address: Option<std::net::IpAddr> = host.parse().ok();
    if !address.is_some_and(|address| address.is_loopback()) {
        bail!("--gcp-endpoint takes an address of this machine only, and {host:?} is none");
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// What other tests of the provisioner begin with.
    pub(in super::super) fn settings() -> GcpSettings {
        GcpSettings {
            project: "classes".into(),
            zones: vec!["us-central1-a".into()],
            machine_type: "n2-standard-8".into(),
            min_cpu_platform: "Intel Cascade Lake".into(),
            source: Source::Snapshot("clara2-snapshot".into()),
            disk_gb: 100,
            network: "default".into(),
            service_account: "w@classes.iam.gserviceaccount.com".into(),
            spot: true,
            on_demand_after: 0,
            max_run: std::time::Duration::from_mins(24 * 60 + 30),
            control_sources: vec![],
            preemption_notice: std::time::Duration::from_mins(2),
            installation: "i1".into(),
            endpoint: None,
        }
    }

    fn args() -> GcpArgs {
        GcpArgs {
            project: Some("classes".into()),
            zones: vec!["us-central1-a".into()],
            machine_type: "n2-standard-8".into(),
            snapshot: "clara2-snapshot".into(),
            network: "default".into(),
            service_account: Some("worker@classes.iam.gserviceaccount.com".into()),
            ..GcpArgs::default()
        }
    }

    fn checked(args: &GcpArgs) -> anyhow::Result<GcpSettings> {
        GcpSettings::checked(args, Duration::from_hours(24), "i1".into())
    }

    #[test]
    fn a_vm_ends_by_itself_half_an_hour_after_the_longest_class() {
        let settings = checked(&args()).unwrap();
        assert_eq!(settings.max_run, Duration::from_mins(24 * 60 + 30));
    }

    #[test]
    fn what_google_would_refuse_is_refused_at_the_start() {
        type Spoil = fn(&mut GcpArgs);
        let spoilt: [(&str, Spoil); 9] = [
            ("--gcp-project is missing", |a| a.project = None),
            ("is no project id", |a| a.project = Some("A B".into())),
            ("is no zone", |a| a.zones = vec!["us-central1".into()]),
            ("--gcp-zone is missing", |a| a.zones = vec![]),
            ("cannot run MicroVMs", |a| {
                a.machine_type = "e2-standard-8".into();
            }),
            ("cannot run MicroVMs", |a| {
                a.machine_type = "n2d-standard-8".into();
            }),
            ("no name of a snapshot", |a| a.snapshot = "../x".into()),
            ("no e-mail address", |a| {
                a.service_account = Some("worker".into());
            }),
            ("of this machine only", |a| {
                a.endpoint = Some("http://198.51.100.1:1".into());
            }),
        ];
        for (want, spoil) in spoilt {
            let mut args = args();
            spoil(&mut args);
            let said = format!("{:#}", checked(&args).unwrap_err());
            assert!(said.contains(want), "{want}: {said}");
        }
    }
}
