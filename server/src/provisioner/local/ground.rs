//! The worker's network namespace, its uplink, and what the host must do for
//! it: forwarding, NAT, and a wall between workers.
//!
//! The caller holds the allocation lock. Building what stands changes nothing;
//! clearing what is gone is success.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail};

use super::alloc::Allocation;

/// The worker's end of the uplink, as the agent is told.
pub(super) const UPLINK: &str = "uplink0";
/// The host's rules for all workers of all installations.
const TABLE: &str = "clarateach_workers";
const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";
/// What `ip_forward` was before the first worker.
const FORWARD_BEFORE: &str = "ip_forward.before";

/// Builds what is missing.
pub(super) fn build(place: &Allocation, alloc_dir: &Path) -> anyhow::Result<()> {
    if !place.netns_path().exists() {
        run("ip", &["netns", "add", &place.netns()])?;
    }
    let inside = |args: &[&str]| {
        let netns = place.netns();
        run("ip", &[&["-n", &netns], args].concat())
    };
    if !stands(place) {
        // Half an uplink is worth nothing.
        remove_link(place)?;
        let (veth, netns) = (place.veth(), place.netns());
        let pair = [
            "link", "add", &veth, "type", "veth", "peer", "name", UPLINK, "netns", &netns,
        ];
        run("ip", &pair)?;
        let (gateway, address) = (place.gateway().to_string(), place.address());
        run(
            "ip",
            &["addr", "replace", &format!("{gateway}/30"), "dev", &veth],
        )?;
        run("ip", &["link", "set", &veth, "up"])?;
        inside(&["link", "set", "lo", "up"])?;
        inside(&["addr", "replace", &format!("{address}/30"), "dev", UPLINK])?;
        inside(&["link", "set", UPLINK, "up"])?;
        inside(&["route", "replace", "default", "via", &gateway])?;
    }
    let no_ipv6 = "net.ipv6.conf.all.disable_ipv6=1";
    if Path::new("/proc/sys/net/ipv6").exists() {
        run(
            "ip",
            &["netns", "exec", &place.netns(), "sysctl", "-qw", no_ipv6],
        )?;
    }
    let before = alloc_dir.join(FORWARD_BEFORE);
    if !before.exists() {
        let now = fs::read(FORWARD).context("could not read ip_forward")?;
        super::alloc::write_whole(&before, &now)?;
    }
    fs::write(FORWARD, "1").context("could not switch ip_forward on")?;
    nft(&rules(place))
}

/// Whether the uplink is whole, seen from the host.
pub(super) fn stands(place: &Allocation) -> bool {
    place.netns_path().exists()
        && fs::read_to_string(format!("/sys/class/net/{}/operstate", place.veth()))
            .is_ok_and(|state| state.trim() == "up")
}

/// Removes the uplink and the namespace.
pub(super) fn clear(place: &Allocation) -> anyhow::Result<()> {
    remove_link(place)?;
    if place.netns_path().exists() {
        run("ip", &["netns", "delete", &place.netns()])?;
    }
    if has_table() {
        let gone = place.network();
        // An element that is not there is an error to nft, and none to us.
        let _ = nft(&format!(
            "delete element inet {TABLE} workers {{ {gone} }}\n"
        ));
    }
    Ok(())
}

/// Removes what served all workers, after the last one.
pub(super) fn clear_host(alloc_dir: &Path) -> anyhow::Result<()> {
    if has_table() {
        nft(&format!("delete table inet {TABLE}\n"))?;
    }
    let before = alloc_dir.join(FORWARD_BEFORE);
    if let Ok(value) = fs::read(&before) {
        fs::write(FORWARD, value).context("could not restore ip_forward")?;
        fs::remove_file(before).context("could not forget the earlier ip_forward")?;
    }
    Ok(())
}

/// Workers reach out through the host and are reached by nobody but the host;
/// neither another worker nor the host itself is reached by one. A worker whose
/// guests broke out is still only a client of the internet.
fn rules(place: &Allocation) -> String {
    let own = place.network();
    format!(
        "table inet {TABLE} {{
  set workers {{ type ipv4_addr; flags interval; }}
  chain forward {{
    type filter hook forward priority -10; policy accept;
  }}
  chain input {{
    type filter hook input priority -10; policy accept;
  }}
  chain postrouting {{
    type nat hook postrouting priority srcnat; policy accept;
  }}
}}
flush chain inet {TABLE} forward
flush chain inet {TABLE} input
flush chain inet {TABLE} postrouting
add rule inet {TABLE} forward ct state established,related accept
add rule inet {TABLE} forward oifname \"ctu*\" counter drop
add rule inet {TABLE} forward iifname \"ctu*\" ip saddr != @workers counter drop
add rule inet {TABLE} input iifname \"ctu*\" ct state established,related accept
add rule inet {TABLE} input iifname \"ctu*\" icmp type echo-request accept
add rule inet {TABLE} input iifname \"ctu*\" counter drop
add rule inet {TABLE} postrouting ip saddr @workers oifname != \"ctu*\" masquerade
add element inet {TABLE} workers {{ {own} }}
"
    )
}

fn has_table() -> bool {
    Command::new("nft")
        .args(["list", "table", "inet", TABLE])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn remove_link(place: &Allocation) -> anyhow::Result<()> {
    if Path::new("/sys/class/net").join(place.veth()).exists() {
        run("ip", &["link", "delete", &place.veth()])?;
    }
    Ok(())
}

fn run(program: &str, args: &[&str]) -> anyhow::Result<()> {
    let done = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("could not run {program} (is it installed?)"))?;
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        bail!("`{program} {}` said: {}", args.join(" "), said.trim());
    }
    Ok(())
}

/// Applies one transaction.
fn nft(script: &str) -> anyhow::Result<()> {
    let mut child = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("could not run nft (is nftables installed?)")?;
    if let Some(mut stdin) = child.stdin.take() {
        stdin
            .write_all(script.as_bytes())
            .context("could not hand nft its rules")?;
    }
    let done = child.wait_with_output().context("could not wait for nft")?;
    if !done.status.success() {
        bail!("nft said: {}", String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(())
}
