//! A firewall rule that Compute would take.

use std::net::IpAddr;

use serde_json::Value;

use crate::fake_gce::{
    config::Config,
    names::{is_name, last_part, name_of},
    refusal::Refusal,
};

/// Checks a whole rule, as inserted or as patched.
pub(crate) fn check(rule: &Value, config: &Config) -> Result<(), Refusal> {
    name_of(rule)?;
    let network = rule["network"]
        .as_str()
        .unwrap_or("global/networks/default");
    let known = last_part(network, &config.project, "global/networks");
    if !known.is_some_and(|name| config.networks.iter().any(|n| n == name)) {
        return Err(Refusal::not_found(network));
    }
    let list = |name: &str| rule[name].as_array().cloned().unwrap_or_default();
    let (allowed, denied) = (list("allowed"), list("denied"));
    if allowed.is_empty() == denied.is_empty() {
        let why = "Exactly one of allowed and denied must be given.";
        return Err(Refusal::field("resource.allowed", allowed.len(), why));
    }
    for each in allowed.iter().chain(&denied) {
        check_ports(each)?;
    }
    let priority = &rule["priority"];
    if !priority.is_null() && priority.as_u64().is_none_or(|p| p > 65_535) {
        return Err(Refusal::field("resource.priority", priority, "0 to 65535."));
    }
    for name in ["sourceRanges", "destinationRanges"] {
        for range in list(name) {
            let text = range.as_str().unwrap_or_default();
            if !is_range(text) {
                let at = format!("resource.{name}");
                return Err(Refusal::field(&at, text, "Must be a CIDR address range."));
            }
        }
    }
    for name in ["sourceTags", "targetTags"] {
        let at = format!("resource.{name}");
        let tags = list(name);
        let bad = tags.iter().find(|tag| !tag.as_str().is_some_and(is_name));
        if let Some(tag) = bad {
            return Err(Refusal::field(&at, tag, "Not a tag."));
        }
    }
    let given = |name: &str| !list(name).is_empty();
    let mixed = (given("sourceTags") || given("targetTags"))
        && (given("sourceServiceAccounts") || given("targetServiceAccounts"));
    if mixed {
        let why = "Tags and service accounts cannot be used in one rule.";
        return Err(Refusal::field("resource.targetTags", "", why));
    }
    let sources = given("sourceRanges") || given("sourceTags") || given("sourceServiceAccounts");
    if rule["direction"] == "EGRESS" && sources {
        let why = "Sources are of INGRESS rules only.";
        return Err(Refusal::field("resource.direction", "EGRESS", why));
    }
    Ok(())
}

fn check_ports(each: &Value) -> Result<(), Refusal> {
    let at = "resource.allowed[0].IPProtocol";
    let Some(protocol) = each["IPProtocol"].as_str() else {
        return Err(Refusal::required(at));
    };
    let known = ["tcp", "udp", "icmp", "esp", "ah", "sctp", "ipip", "all"];
    if !known.contains(&protocol) && protocol.parse::<u8>().is_err() {
        return Err(Refusal::field(at, protocol, "Unknown protocol."));
    }
    for port in each["ports"].as_array().into_iter().flatten() {
        let text = port.as_str().unwrap_or_default();
        let (low, high) = text.split_once('-').unwrap_or((text, text));
        let (low, high) = (low.parse::<u16>(), high.parse::<u16>());
        let fits = matches!((low, high), (Ok(low), Ok(high)) if low <= high);
        if !fits || !matches!(protocol, "tcp" | "udp" | "sctp") {
            let at = "resource.allowed[0].ports";
            return Err(Refusal::field(
                at,
                text,
                "Not a port or a range of this protocol.",
            ));
        }
    }
    Ok(())
}

fn is_range(text: &str) -> bool {
    let (address, bits) = match text.split_once('/') {
        Some((address, bits)) => (address, bits.parse::<u8>().ok()),
        None => (text, Some(0)),
    };
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => bits.is_some_and(|bits| bits <= 32),
        Ok(IpAddr::V6(_)) => bits.is_some_and(|bits| bits <= 128),
        Err(_) => false,
    }
}
