//! The nftables rule set of a worker, as text from a pure function.
//!
//! A slot's address, hardware address and port follow from its number, so one
//! set holds all two hundred and nothing changes when a seat comes or goes: the
//! rules of a port stand before the port is there.

mod elements;

use std::time::Duration;

use clarateach_domain::{
    egress::{CLOSED, Egress},
    seat_net,
};
use ipnet::Ipv4Net;

use self::elements::{all_seats, names, quoted, ranges};
use super::learnt::Open;

/// Open connections a seat may have; E2B publishes the same figure.
const CONNECTIONS_PER_SEAT: u32 = 2500;
/// New connections a second a seat may open, after a burst of four times that.
const NEW_CONNECTIONS_PER_SECOND: u32 = 200;
/// Questions a second a seat may ask the resolver, after a burst of four times that.
const QUESTIONS_PER_SECOND: u32 = 50;
/// Connections a seat may have open to the resolver.
const RESOLVER_CONNECTIONS_PER_SEAT: u32 = 16;
/// How long an address of an allowed name stays open after it was last used.
pub(super) const NAME_LASTS: Duration = Duration::from_hours(1);

/// What of the rules depends on the worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleSettings {
    /// The interface towards the internet.
    pub uplink: String,
    /// Closed to guests beside [`CLOSED`]: addresses of this worker's own that its
    /// interfaces do not show.
    pub closed: Vec<Ipv4Net>,
}

/// The rule set as `nft` reads it, in place of what stood before. `open` are
/// addresses of allowed names, as the resolver gave them out, and how long yet.
///
/// What a guest sends is judged packet by packet, and so is what comes back: a
/// policy that changes ends what it closes without anybody having to find it.
pub(super) fn render(settings: &RuleSettings, egress: &Egress, open: &Open) -> String {
    let gateway = seat_net::GATEWAY;
    let seats = all_seats();
    let closed = CLOSED.iter().chain(&settings.closed);
    let closed = closed.map(ToString::to_string).collect::<Vec<_>>();
    let closed = closed.join(", ");
    let network = format!("{gateway}/{}", seat_net::PREFIX);
    let bridge = quoted(seat_net::BRIDGE);
    let uplink = quoted(&settings.uplink);
    let (burst, questions_burst) = (NEW_CONNECTIONS_PER_SECOND * 4, QUESTIONS_PER_SECOND * 4);
    let (out, back) = policy(egress);
    let (ranges, names) = (ranges(egress), names(open));
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
    auto-merge
    elements = {{ {closed} }}
  }}
  set ranges {{
    type ipv4_addr
    flags interval
    auto-merge
{ranges}  }}
  set names {{
    type ipv4_addr
    size 65535
    flags dynamic,timeout
    timeout {lasts}s
{names}  }}
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
  set questions {{
    type ipv4_addr
    size 256
    flags dynamic
  }}
  set asking {{
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
    ip daddr {gateway} udp dport 53 jump question
    ct state established,related accept
    ip daddr {gateway} icmp type echo-request limit rate 50/second accept
    ip daddr {gateway} tcp dport 53 ct state new add @asking {{ ip saddr ct count over {RESOLVER_CONNECTIONS_PER_SEAT} }} drop
    ip daddr {gateway} tcp dport 53 accept
    drop
  }}
  chain question {{
    update @questions {{ ip saddr limit rate over {QUESTIONS_PER_SECOND}/second burst {questions_burst} packets }} drop
    accept
  }}
  chain forward {{
    type filter hook forward priority 0; policy drop;
    ct state invalid drop
    iifname {bridge} oifname {uplink} jump to_internet
    iifname {uplink} oifname {bridge} jump from_internet
  }}
  chain to_internet {{
    meta nfproto != ipv4 drop
    ct state new update @openings {{ ip saddr limit rate over {NEW_CONNECTIONS_PER_SECOND}/second burst {burst} packets }} drop
    ct state new add @connections {{ ip saddr ct count over {CONNECTIONS_PER_SEAT} }} drop
    fib daddr type local drop
    ip daddr @closed jump refuse
    tcp dport 25 jump refuse
{out}  }}
  chain from_internet {{
    ct state related accept
    ct state != established drop
{back}  }}
  chain refuse {{
    meta l4proto tcp reject with tcp reset
    reject with icmp admin-prohibited
  }}
  chain postrouting {{
    type nat hook postrouting priority 100; policy accept;
    oifname {uplink} ip saddr {network} masquerade
  }}
}}
"#,
        lasts = NAME_LASTS.as_secs(),
    )
}

/// The ends of both ways: what the policy lets out and lets back in.
fn policy(egress: &Egress) -> (&'static str, &'static str) {
    match egress {
        Egress::Internet => ("    accept\n", "    accept\n"),
        Egress::None => ("    jump refuse\n", "    drop\n"),
        Egress::AllowList(_) => (
            "    ip daddr @ranges accept
    ip daddr @names update @names { ip daddr } accept
    jump refuse\n",
            "    ip saddr @ranges accept
    ip saddr @names accept
    drop\n",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(egress: &Egress) -> String {
        let settings = RuleSettings {
            uplink: "up0".to_owned(),
            closed: vec!["203.0.113.9/32".parse().unwrap()],
        };
        let open = Open::from([("198.51.100.7".parse().unwrap(), Duration::from_secs(97))]);
        render(&settings, egress, &open)
    }

    #[test]
    fn every_slot_is_pinned_to_its_port_and_addresses() {
        let rules = rules(&Egress::Internet);
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
        for egress in [Egress::Internet, Egress::None] {
            let rules = rules(&egress);
            for range in CLOSED {
                assert!(rules.contains(&range.to_string()), "{range}");
            }
            for line in [
                "policy drop;",
                "203.0.113.9/32",
                "tcp dport 25 jump refuse",
                "fib daddr type local drop",
                "oifname \"up0\" ip saddr 192.168.100.1/24 masquerade",
            ] {
                assert!(rules.contains(line), "{line}");
            }
        }
    }

    #[test]
    fn the_policy_ends_both_ways() {
        let list = vec![
            "203.0.113.64/26".parse().unwrap(),
            "pypi.org".parse().unwrap(),
        ];
        for (egress, out, back) in [
            (Egress::Internet, "    accept\n  }", "    accept\n  }"),
            (Egress::None, "    jump refuse\n  }", "    drop\n  }"),
            (
                Egress::AllowList(list),
                "accept\n    jump refuse\n  }",
                "accept\n    drop\n  }",
            ),
        ] {
            let rules = rules(&egress);
            let chain = |name: &str| {
                let begin = rules.find(&format!("chain {name} {{")).unwrap();
                let end = rules[begin..].find("}\n  chain").unwrap();
                rules[begin..=begin + end].to_owned()
            };
            assert!(chain("to_internet").contains(out), "{egress:?}");
            assert!(chain("from_internet").contains(back), "{egress:?}");
            let ranges = "elements = { 203.0.113.64/26 }";
            let is_list = matches!(egress, Egress::AllowList(_));
            assert_eq!(rules.contains(ranges), is_list, "{egress:?}");
            assert!(!rules.contains("pypi"), "a name is the resolver's");
            assert!(rules.contains("elements = { 198.51.100.7 expires 97s }"));
        }
    }
}
