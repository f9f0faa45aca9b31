//! Scheduling and machine types: Spot, the end of a run, nested virtualisation.

use std::time::Duration;

use serde_json::Value;

use crate::fake_gce::{config::Config, instance::is_spot, refusal::Refusal};

/// Families with Intel processors from Haswell on: MicroVMs can run in them.
const NESTED: [&str; 9] = ["n1", "n2", "n4", "c2", "c3", "c4", "a2", "g2", "z3"];
/// Those that have no nested virtualisation.
const NOT_NESTED: [&str; 16] = [
    "e2", "f1", "g1", "n2d", "n4d", "t2d", "c2d", "c3d", "c4d", "t2a", "c4a", "n4a", "m1", "m2",
    "m3", "m4",
];
const DAY: u64 = 24 * 3600;

/// The family of a machine type, if there is such a type.
pub(crate) fn family(kind: &str) -> Option<&str> {
    let (family, rest) = kind.split_once('-')?;
    let known = NESTED
        .iter()
        .chain(&NOT_NESTED)
        .any(|known| *known == family);
    (known && !rest.is_empty()).then_some(family)
}

/// Its processors, from its name: `n2-standard-8`.
pub(crate) fn processors(kind: &str) -> u32 {
    let last = kind.rsplit('-').find_map(|part| part.parse().ok());
    last.unwrap_or(2)
}

pub(crate) fn check(body: &Value, kind: &str, config: &Config) -> Result<(), Refusal> {
    let scheduling = &body["scheduling"];
    let at = |name: &str| format!("resource.scheduling.{name}");
    let refuse = |name: &str, why: &str| {
        let value = &scheduling[name];
        Err(Refusal::field(&at(name), value, why))
    };
    let spot = is_spot(body);
    if spot && scheduling["onHostMaintenance"] != "TERMINATE" {
        return refuse("onHostMaintenance", "Spot VMs must be TERMINATE.");
    }
    if spot && scheduling["automaticRestart"] != false {
        return refuse(
            "automaticRestart",
            "Spot VMs cannot be restarted automatically.",
        );
    }
    let action = scheduling["instanceTerminationAction"].is_string();
    let ends = !scheduling["maxRunDuration"].is_null() || !scheduling["terminationTime"].is_null();
    if action && !spot && !ends {
        let why = "Only for Spot VMs and VMs whose run ends.";
        return refuse("instanceTerminationAction", why);
    }
    if ends && !action {
        let why = "A run that ends needs instanceTerminationAction.";
        return refuse("maxRunDuration", why);
    }
    if !scheduling["maxRunDuration"].is_null() {
        if !scheduling["terminationTime"].is_null() {
            return refuse("terminationTime", "Not together with maxRunDuration.");
        }
        let length = seconds(&scheduling["maxRunDuration"]);
        if !length.is_some_and(|s| (30..=120 * DAY).contains(&s.as_secs())) {
            return refuse("maxRunDuration", "30 seconds to 120 days.");
        }
    }
    if !scheduling["preemptionNoticeDuration"].is_null() {
        let length = seconds(&scheduling["preemptionNoticeDuration"]);
        let fits = length.is_some_and(|s| s.as_secs() <= 120);
        if !config.takes_notice_duration || !spot || !fits {
            return refuse("preemptionNoticeDuration", "Not supported here.");
        }
    }
    check_processor(body, kind)
}

fn check_processor(body: &Value, kind: &str) -> Result<(), Refusal> {
    let family = family(kind).unwrap_or_default();
    let nested = body["advancedMachineFeatures"]["enableNestedVirtualization"] == true;
    if nested && NOT_NESTED.contains(&family) {
        let at = "resource.advancedMachineFeatures.enableNestedVirtualization";
        let why = format!("Machine type '{kind}' has no nested virtualization.");
        return Err(Refusal::field(at, true, &why));
    }
    let platform = &body["minCpuPlatform"];
    let fits = match family {
        "n2" => &["Intel Cascade Lake", "Intel Ice Lake"][..],
        "c2" => &["Intel Cascade Lake"][..],
        "n1" => &["Intel Haswell", "Intel Broadwell", "Intel Skylake"][..],
        _ => &[][..],
    };
    if let Some(platform) = platform.as_str()
        && !fits.contains(&platform)
    {
        let why = format!("Not a platform of '{kind}'.");
        return Err(Refusal::field("resource.minCpuPlatform", platform, &why));
    }
    Ok(())
}

fn seconds(duration: &Value) -> Option<Duration> {
    let seconds = &duration["seconds"];
    let seconds = seconds.as_u64().or_else(|| seconds.as_str()?.parse().ok());
    seconds.map(Duration::from_secs)
}
