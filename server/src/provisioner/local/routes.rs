//! Whether the network of the local workers is somebody else's here.
//!
//! Way: `ip route` -> the routes that are not ours -> those within or around the
//! network. A default route leads everywhere and takes nothing.

use std::{
    net::Ipv4Addr,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};
use serde::Deserialize;

/// Bits of the network of all local workers.
const SUBNET_BITS: u32 = 16;
/// Shorter ones stand for a default route, as VPNs write it in two halves.
const DEFAULT_BITS: u32 = 8;
/// Before the number, in the name of a local worker's uplink.
const OURS: &str = "ctu";

/// What `ip -json route` says of one route.
#[derive(Debug, Deserialize)]
struct Route {
    #[serde(rename = "type", default)]
    kind: Option<String>,
    dst: String,
    #[serde(default)]
    dev: Option<String>,
}

/// The routes of this host, other than to local workers, that meet the network
/// whose first address is `subnet`: for people, one a line.
pub(super) fn foreign(subnet: Ipv4Addr) -> anyhow::Result<Vec<String>> {
    let done = Command::new("ip")
        .args(["-json", "-4", "route", "show", "table", "all"])
        .stdin(Stdio::null())
        .output()
        .context("could not run ip (is it installed?)")?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("could not list the host's routes: {}", said.trim());
    }
    meeting(&done.stdout, subnet)
}

fn meeting(json: &[u8], subnet: Ipv4Addr) -> anyhow::Result<Vec<String>> {
    let routes: Vec<Route> =
        serde_json::from_slice(json).context("could not read the host's routes")?;
    let met = routes.iter().filter(|route| {
        // Others lead nowhere, or are what an address brings along.
        let leads = matches!(route.kind.as_deref(), None | Some("unicast"));
        let ours = route
            .dev
            .as_deref()
            .is_some_and(|dev| dev.starts_with(OURS));
        leads && !ours && meets(&route.dst, subnet)
    });
    Ok(met
        .map(|route| match &route.dev {
            Some(dev) => format!("{} dev {dev}", route.dst),
            None => route.dst.clone(),
        })
        .collect())
}

/// Whether one of both networks holds the other.
fn meets(dst: &str, subnet: Ipv4Addr) -> bool {
    let (address, bits) = dst.split_once('/').unwrap_or((dst, "32"));
    let (Ok(address), Ok(bits)) = (address.parse::<Ipv4Addr>(), bits.parse::<u32>()) else {
        return false; // "default"
    };
    let same = SUBNET_BITS.min(bits);
    let differ = (address.to_bits() ^ subnet.to_bits()).leading_zeros() < same;
    bits >= DEFAULT_BITS && !differ
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_route_of_somebody_else_into_the_network_meets_it() {
        for (route, met) in [
            (
                r#"{"dst":"default","gateway":"192.0.2.1","dev":"eth0"}"#,
                false,
            ),
            (r#"{"dst":"0.0.0.0/1","dev":"tun0"}"#, false),
            (r#"{"dst":"192.0.2.0/24","dev":"eth0"}"#, false),
            (r#"{"dst":"10.212.0.0/16","dev":"eth0"}"#, false),
            (r#"{"dst":"10.213.0.0/30","dev":"ctu0"}"#, false),
            (r#"{"type":"blackhole","dst":"10.0.0.0/8"}"#, false),
            (
                r#"{"type":"broadcast","dst":"10.213.0.3","dev":"br0","table":"local"}"#,
                false,
            ),
            (r#"{"dst":"10.0.0.0/8","dev":"tun0"}"#, true),
            (r#"{"dst":"10.213.0.0/16","dev":"br0"}"#, true),
            (
                r#"{"dst":"10.213.7.0/24","dev":"docker0","flags":[]}"#,
                true,
            ),
            (r#"{"dst":"10.213.9.9","dev":"wg0"}"#, true),
            (
                r#"{"dst":"10.213.7.0/24","nexthops":[{"dev":"a"},{"dev":"b"}]}"#,
                true,
            ),
        ] {
            let json = format!("[{route}]");
            let found = meeting(json.as_bytes(), "10.213.0.0".parse().unwrap()).unwrap();
            assert_eq!(!found.is_empty(), met, "{route}");
        }
        assert!(meeting(b"?", Ipv4Addr::UNSPECIFIED).is_err());
    }
}
