//! `clarateach-server check --gcp`: what the project has of what workers need, in
//! words. Looks, and changes nothing.

use google_cloud_compute_v1::model::Region;

use super::{
    Gcp, firewall,
    settings::{GcpSettings, Source},
};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// What.
    pub name: String,
    /// Whether workers can be made as it is.
    pub good: bool,
    /// What was found.
    pub found: String,
    /// What to do if it is not good; empty if it is.
    pub advice: String,
}

impl Line {
    fn good(name: impl Into<String>, found: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            good: true,
            found: found.into(),
            advice: String::new(),
        }
    }

    fn bad(
        name: impl Into<String>,
        found: impl std::fmt::Display,
        advice: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            good: false,
            found: found.to_string(),
            advice: advice.into(),
        }
    }
}

impl std::fmt::Display for Line {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let verdict = if self.good { "OK" } else { "MISSING" };
        write!(out, "{verdict:<8}{}: {}", self.name, self.found)?;
        if !self.advice.is_empty() {
            write!(out, "\n        {}", self.advice)?;
        }
        Ok(())
    }
}

impl Gcp {
    /// Looks at credentials, boot disk, firewall and quota.
    pub async fn survey(&self) -> Vec<Line> {
        let mut lines = vec![self.credentials().await];
        if lines[0].good {
            lines.push(self.boot_disk().await);
            lines.push(self.rule().await);
            lines.extend(self.quotas().await);
        }
        lines
    }

    async fn credentials(&self) -> Line {
        let name = format!("credentials for {}", self.settings.project);
        match self.cloud.all().await {
            Ok(_) => Line::good(name, "accepted"),
            Err(cause) => Line::bad(
                name,
                format!("{cause:#}"),
                "run `gcloud auth application-default login`, or give the account the role \
                 Compute Instance Admin (v1) in the project",
            ),
        }
    }

    async fn boot_disk(&self) -> Line {
        let (name, found) = match &self.settings.source {
            Source::Snapshot(name) => (format!("snapshot {name}"), self.cloud.snapshot(name).await),
            Source::ImageFamily(name) => {
                (format!("image family {name}"), self.cloud.image(name).await)
            }
        };
        let advice = "make it with scripts/setup-clara2-snapshot.sh, or name another with \
                      --gcp-snapshot or --gcp-image-family";
        match found {
            Ok(Some(size)) if size > i64::from(self.settings.disk_gb) => Line::bad(
                name,
                format!("{size} GB, and workers get {}", self.settings.disk_gb),
                format!("give --gcp-disk-gb {size} or more"),
            ),
            Ok(Some(size)) => Line::good(name, format!("{size} GB")),
            Ok(None) => Line::bad(name, "there is none", advice),
            Err(cause) => Line::bad(name, cause, advice),
        }
    }

    async fn rule(&self) -> Line {
        let name = format!("firewall rule {}", firewall::NAME);
        match self.cloud.firewall(firewall::NAME).await {
            Ok(Some(rule)) => match firewall::fault(&rule, &self.settings) {
                None => Line::good(name, "opens the agents' port"),
                Some(why) => Line::bad(
                    name,
                    why,
                    "mend it, or remove it: the server makes it anew when it starts",
                ),
            },
            Ok(None) => Line::good(
                name,
                "there is none yet; the server makes it when it starts",
            ),
            Err(cause) => Line::bad(
                name,
                cause,
                "allow tcp:9090 to the workers' service account by hand",
            ),
        }
    }

    async fn quotas(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        for region in regions(&self.settings) {
            lines.push(match self.cloud.region(&region).await {
                Ok(Some(found)) => quota(&found, &region, &self.settings),
                Ok(None) => Line::bad(
                    format!("region {region}"),
                    "there is none",
                    "name zones that there are with --gcp-zone",
                ),
                Err(cause) => Line::bad(format!("region {region}"), cause, ""),
            });
        }
        lines
    }
}

/// The regions of all zones, each once.
fn regions(settings: &GcpSettings) -> Vec<String> {
    let mut all: Vec<_> = settings
        .zones
        .iter()
        .filter_map(|zone| Some(zone.rsplit_once('-')?.0.to_owned()))
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// Whether one more worker fits. Where a project has no quota of its own for spot
/// VMs (0), they count as others do.
fn quota(region: &Region, name: &str, settings: &GcpSettings) -> Line {
    let of = |metric: &str| {
        let named = |quota: &&google_cloud_compute_v1::model::Quota| {
            quota.metric.as_ref().and_then(|m| m.name()) == Some(metric)
        };
        let quota = region.quotas.iter().find(named)?;
        Some((quota.usage.unwrap_or(0.0), quota.limit.unwrap_or(0.0)))
    };
    let family = settings.machine_type.split('-').next().unwrap_or_default();
    let usual = match family {
        "n1" => "CPUS".to_owned(),
        other => format!("{}_CPUS", other.to_uppercase()),
    };
    let spot = of("PREEMPTIBLE_CPUS").filter(|(_, limit)| settings.spot && *limit > 0.0);
    let (metric, found) = match spot {
        Some(found) => ("PREEMPTIBLE_CPUS".to_owned(), Some(found)),
        None => (usual.clone(), of(&usual)),
    };
    let line = format!("quota {metric} of {name}");
    let cpus: f64 = settings
        .machine_type
        .rsplit('-')
        .next()
        .and_then(|cpus| cpus.parse().ok())
        .unwrap_or(1.0);
    match found {
        None => Line::good(line, "Google tells none"),
        Some((used, limit)) if used + cpus <= limit => {
            Line::good(line, format!("{used} of {limit} used"))
        }
        Some((used, limit)) => Line::bad(
            line,
            format!("{used} of {limit} used, and a worker needs {cpus}"),
            "have it raised in the console, under IAM and admin, quotas",
        ),
    }
}

#[cfg(test)]
mod tests {
    use google_cloud_compute_v1::model::Quota;

    use super::*;
    use crate::provisioner::gcp::settings::tests::settings;

    #[test]
    fn one_more_worker_must_fit_the_quota_that_counts() {
        let region = |quotas: &[(&'static str, f64, f64)]| {
            let of = |&(metric, usage, limit): &(&'static str, f64, f64)| {
                Quota::new()
                    .set_metric(metric)
                    .set_usage(usage)
                    .set_limit(limit)
            };
            Region::new().set_quotas(quotas.iter().map(of))
        };
        for (quotas, metric, good) in [
            (&[("N2_CPUS", 56.0, 64.0)][..], "N2_CPUS", true),
            (&[("N2_CPUS", 57.0, 64.0)], "N2_CPUS", false),
            (
                &[("PREEMPTIBLE_CPUS", 0.0, 0.0), ("N2_CPUS", 0.0, 8.0)],
                "N2_CPUS",
                true,
            ),
            (
                &[("PREEMPTIBLE_CPUS", 1.0, 8.0), ("N2_CPUS", 0.0, 8.0)],
                "PREEMPTIBLE_CPUS",
                false,
            ),
            (&[], "N2_CPUS", true),
        ] {
            let line = quota(&region(quotas), "us-central1", &settings());
            assert!(line.name.contains(metric), "{line}");
            assert_eq!(line.good, good, "{line}");
        }
        let mut two = settings();
        two.zones = ["a-b-c", "a-b-d", "a-c-a"].map(str::to_owned).to_vec();
        assert_eq!(regions(&two), ["a-b", "a-c"]);
    }
}
