//! The nftables rule set of a worker, as text from a pure function, applied in
//! one transaction.
//!
//! A slot's address, hardware address and port follow from its number, so one
//! set holds all two hundred and nothing changes when a seat comes or goes: the
//! rules of a port stand before the port is there.

use std::{
    fmt::Write as _,
    io::Write as _,
    net::{IpAddr, Ipv4Addr},
    process::{Command, Stdio},
};

use clarateach_domain::{ids::Slot, seat_net};

use super::NetworkError;

/// Where guests may never go: `decisions.md` §6.
const CLOSED_TO_GUESTS: [&str; 11] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.168.0.0/16",
    "198.18.0.0/15",
    "224.0.0.0/4",
    "240.0.0.0/4",
];

/// Open connections a seat may have; E2B publishes the same figure.
const CONNECTIONS_PER_SEAT: u32 = 2500;
/// New connections a second a seat may open, after a burst of four times that.
const NEW_CONNECTIONS_PER_SECOND: u32 = 200;

/// What of the rules depends on the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSettings {
    /// The interface towards the internet.
    pub uplink: String,
    /// Resolvers the guests were told of. A private one is opened for port 53
    /// alone, except among the link-local addresses, where clouds keep their secrets.
    pub nameservers: Vec<IpAddr>,
}

/// The rule set as `nft` reads it. Replaces what an earlier agent left.
pub(super) fn render(settings: &RuleSettings) -> String {
    let bridge = seat_net::BRIDGE;
    let gateway = seat_net::GATEWAY;
    let uplink = &settings.uplink;
    let seats = (1..=u32::from(Slot::MAX))
        .filter_map(|slot| Slot::try_from(slot).ok())
        .map(|slot| {
            format!(
                "{} . {} . {}",
                quoted(&seat_net::port_name(slot)),
                seat_net::mac_text(slot),
                seat_net::address(slot)
            )
        })
        .collect::<Vec<_>>()
        .join(",\n      ");
    let closed = CLOSED_TO_GUESTS.join(", ");
    let network = format!("{gateway}/{}", seat_net::PREFIX);
    let mut resolver_in = String::new();
    let mut resolvers_out = String::new();
    for nameserver in &settings.nameservers {
        let IpAddr::V4(nameserver) = nameserver else {
            continue; // guests have no IPv6
        };
        if *nameserver == gateway {
            for protocol in ["udp", "tcp"] {
                writeln!(
                    resolver_in,
                    "    ip daddr {gateway} {protocol} dport 53 accept"
                )
                .ok();
            }
        } else if may_be_opened(*nameserver) {
            for protocol in ["udp", "tcp"] {
                writeln!(
                    resolvers_out,
                    "    ip daddr {nameserver} {protocol} dport 53 accept"
                )
                .ok();
            }
        }
    }
    let bridge = quoted(bridge);
    let uplink = quoted(uplink);
    let burst = NEW_CONNECTIONS_PER_SECOND * 4;
    format!(
        r#"table bridge clarateach
delete table bridge clarateach
table bridge clarateach {{
  set seats {{
    type ifname . ether_addr . ipv4_addr
    elements = {{
      {seats}
    }}
  }}
  chain prerouting {{
    type filter hook prerouting priority -300; policy accept;
    iifname != "ctp*" accept
    ether type ip iifname . ether saddr . ip saddr @seats accept
    ether type arp iifname . ether saddr . arp saddr ip @seats jump sender
    drop
  }}
  chain sender {{
    iifname . arp saddr ether . arp saddr ip @seats accept
  }}
  chain forward {{
    type filter hook forward priority -200; policy accept;
    iifname "ctp*" drop
    oifname "ctp*" drop
  }}
}}
table inet clarateach
delete table inet clarateach
table inet clarateach {{
  set closed {{
    type ipv4_addr
    flags interval
    elements = {{ {closed} }}
  }}
  set connections {{
    type ipv4_addr
    size 256
    flags dynamic
  }}
  set openings {{
    type ipv4_addr
    size 256
    flags dynamic
  }}
  chain input {{
    type filter hook input priority 0; policy accept;
    iifname {bridge} jump from_guest
  }}
  chain from_guest {{
    ct state invalid drop
    ct state established,related accept
    ip daddr {gateway} icmp type echo-request limit rate 50/second accept
{resolver_in}    drop
  }}
  chain forward {{
    type filter hook forward priority 0; policy drop;
    ct state invalid drop
    iifname {bridge} oifname {bridge} drop
    ct state established,related accept
    iifname {bridge} oifname {uplink} jump to_internet
  }}
  chain to_internet {{
    meta nfproto != ipv4 drop
    ct state new add @openings {{ ip saddr limit rate over {NEW_CONNECTIONS_PER_SECOND}/second burst {burst} packets }} drop
    ct state new add @connections {{ ip saddr ct count over {CONNECTIONS_PER_SEAT} }} drop
{resolvers_out}    ip daddr @closed drop
    fib daddr type local drop
    tcp dport 25 drop
    accept
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    oifname {uplink} ip saddr {network} masquerade
  }}
}}
"#
    )
}

fn may_be_opened(nameserver: Ipv4Addr) -> bool {
    !nameserver.is_link_local()
        && !nameserver.is_loopback()
        && !nameserver.is_multicast()
        && !nameserver.is_unspecified()
}

/// An interface's name as nft wants it. Names come from the kernel or from a
/// flag; a quote in one would end the string, so it cannot be in one.
fn quoted(name: &str) -> String {
    let safe: String = name
        .chars()
        .filter(|c| c.is_ascii_graphic() && *c != '"' && *c != '\\')
        .collect();
    format!("\"{safe}\"")
}

/// Hands the text to `nft`, which applies all of it or nothing. Blocks.
pub(super) fn apply(text: &str) -> Result<(), NetworkError> {
    let failed = |error: std::io::Error| NetworkError::Rules(error.to_string());
    let mut nft = Command::new("nft")
        .args(["-f", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| NetworkError::Rules(format!("nft could not be started: {error}")))?;
    if let Some(mut stdin) = nft.stdin.take() {
        stdin.write_all(text.as_bytes()).map_err(failed)?;
    }
    let ended = nft.wait_with_output().map_err(failed)?;
    if ended.status.success() {
        return Ok(());
    }
    let complaint = String::from_utf8_lossy(&ended.stderr);
    Err(NetworkError::Rules(complaint.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(nameservers: &[&str]) -> RuleSettings {
        RuleSettings {
            uplink: "up0".to_owned(),
            nameservers: nameservers.iter().map(|ip| ip.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn every_slot_is_pinned_to_its_port_and_addresses() {
        let rules = render(&settings(&[]));
        for line in [
            "\"ctp1\" . 02:c1:a2:00:00:01 . 192.168.100.11",
            "\"ctp200\" . 02:c1:a2:00:00:c8 . 192.168.100.210",
        ] {
            assert!(rules.contains(line), "{line}");
        }
        assert_eq!(rules.matches("02:c1:a2:").count(), 200);
    }

    #[test]
    fn everything_private_is_closed_and_named() {
        let rules = render(&settings(&[]));
        for range in CLOSED_TO_GUESTS {
            assert!(rules.contains(range), "{range}");
        }
        for line in [
            "policy drop;",
            "iifname \"clarateach0\" oifname \"clarateach0\" drop",
            "tcp dport 25 drop",
            "fib daddr type local drop",
            "oifname \"up0\" ip saddr 192.168.100.1/24 masquerade",
        ] {
            assert!(rules.contains(line), "{line}");
        }
        assert!(!rules.contains("dport 53"));
    }

    #[test]
    fn a_private_resolver_is_open_for_questions_only_and_a_metadata_server_never() {
        for (nameserver, opened) in [
            ("10.0.0.2", true),
            ("8.8.8.8", true),
            ("192.168.100.1", true),
            ("169.254.169.254", false),
            ("127.0.0.53", false),
            ("2001:4860:4860::8888", false),
        ] {
            let rules = render(&settings(&[nameserver]));
            let open = format!("ip daddr {nameserver} udp dport 53 accept");
            assert_eq!(rules.contains(&open), opened, "{nameserver}");
        }
    }

    #[test]
    fn a_name_cannot_break_out_of_its_quotes() {
        assert_eq!(quoted("up\"; drop"), "\"up;drop\"");
    }
}
