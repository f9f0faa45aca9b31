//! What seats may reach: the policy of a workshop, and the ranges that no policy
//! opens.

use std::{fmt, net::Ipv4Addr, str::FromStr};

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize, de::Error as _};

/// Where no guest may go, whatever its workshop's policy: this host, private and
/// shared networks, the metadata server, what no unicast client has use for
/// (RFC 6890, RFC 1112).
pub const CLOSED: [Ipv4Net; 11] = [
    net([0, 0, 0, 0], 8),
    net([10, 0, 0, 0], 8),
    net([100, 64, 0, 0], 10),
    net([127, 0, 0, 0], 8),
    net([169, 254, 0, 0], 16),
    net([172, 16, 0, 0], 12),
    net([192, 0, 0, 0], 24),
    net([192, 168, 0, 0], 16),
    net([198, 18, 0, 0], 15),
    net([224, 0, 0, 0], 4),
    net([240, 0, 0, 0], 4),
];
/// Entries an allow-list may have.
pub const MAX_ALLOWED: usize = 100;
/// Longest host name, in characters (RFC 1035, without the last dot).
const MAX_NAME: usize = 253;
/// Longest label of one.
const MAX_LABEL: usize = 63;

const fn net(octets: [u8; 4], bits: u8) -> Ipv4Net {
    let [a, b, c, d] = octets;
    Ipv4Net::new_assert(Ipv4Addr::new(a, b, c, d), bits)
}

/// Whether no guest may go there.
pub fn is_closed(address: Ipv4Addr) -> bool {
    CLOSED.iter().any(|closed| closed.contains(&address))
}

/// What seats may reach.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "mode", content = "allow")]
pub enum Egress {
    /// The internet, except [`CLOSED`].
    #[default]
    Internet,
    /// Nothing.
    None,
    /// Only these; see [`Egress::allow_list`].
    AllowList(Vec<Allowed>),
}

/// One entry of an allow-list. As text: `pypi.org`, `*.pypi.org` or
/// `203.0.113.0/24`; an address alone is a range of one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Allowed {
    /// One host, by its name in lower case.
    Host(String),
    /// Every host below this name, in lower case; not the name itself.
    Below(String),
    /// A range of addresses that meets none of [`CLOSED`].
    Range(Ipv4Net),
}

/// Why an entry of an allow-list is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadAllowed {
    /// Neither a name nor a range.
    #[error("must be a host name like pypi.org or *.pypi.org, or a range like 203.0.113.0/24")]
    Form,
    /// A range with bits set behind its length.
    #[error("has bits behind its length: {0} is meant?")]
    Bits(Ipv4Net),
    /// Guests have no IPv6.
    #[error("is IPv6, which seats do not have")]
    Ipv6,
    /// It meets a range that is closed to guests.
    #[error("meets {0}, which is closed to seats whatever the policy")]
    Closed(Ipv4Net),
}

impl FromStr for Allowed {
    type Err = BadAllowed;

    fn from_str(text: &str) -> Result<Self, BadAllowed> {
        if text.contains(':') {
            return Err(BadAllowed::Ipv6);
        }
        let looks_numeric = text
            .bytes()
            .all(|b| b.is_ascii_digit() || b"./".contains(&b));
        if looks_numeric {
            return range(text).map(Self::Range);
        }
        let lower = text.to_ascii_lowercase();
        let allowed = match lower.strip_prefix("*.") {
            Some(parent) => Self::Below(parent.to_owned()),
            None => Self::Host(lower),
        };
        match &allowed {
            Self::Host(name) | Self::Below(name) if is_name(name) => Ok(allowed),
            _ => Err(BadAllowed::Form),
        }
    }
}

fn range(text: &str) -> Result<Ipv4Net, BadAllowed> {
    let range = match text.parse::<Ipv4Addr>() {
        Ok(address) => Ipv4Net::from(address),
        Err(_) => text.parse::<Ipv4Net>().map_err(|_| BadAllowed::Form)?,
    };
    if range.trunc() != range {
        return Err(BadAllowed::Bits(range.trunc()));
    }
    let meets = |closed: &&Ipv4Net| closed.contains(&range) || range.contains(*closed);
    match CLOSED.iter().find(meets) {
        Some(closed) => Err(BadAllowed::Closed(*closed)),
        None => Ok(range),
    }
}

/// At least two labels: a bare word is a search for trouble.
fn is_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len())
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    name.len() <= MAX_NAME && name.contains('.') && name.split('.').all(label)
}

impl Allowed {
    /// Whether a question for this name is for it; `name` in lower case and
    /// without the last dot.
    pub fn covers(&self, name: &str) -> bool {
        match self {
            Self::Host(host) => host == name,
            Self::Below(parent) => name
                .strip_suffix(parent.as_str())
                .is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
            Self::Range(_) => false,
        }
    }
}

impl Egress {
    /// Only these, in an order of its own and each once: policies that mean the
    /// same are equal.
    pub fn allow_list(mut allowed: Vec<Allowed>) -> Self {
        allowed.sort_unstable();
        allowed.dedup();
        Self::AllowList(allowed)
    }

    /// How open the way out is, in one word.
    pub fn mode(&self) -> &'static str {
        match self {
            Self::Internet => "internet",
            Self::None => "none",
            Self::AllowList(_) => "allow-list",
        }
    }

    /// Whether guests may ask for the addresses of this name, in lower case and
    /// without the last dot.
    pub fn answers(&self, name: &str) -> bool {
        match self {
            Self::Internet => true,
            Self::None => false,
            Self::AllowList(allowed) => allowed.iter().any(|allowed| allowed.covers(name)),
        }
    }
}

impl fmt::Display for Allowed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
            Self::Range(range) if range.prefix_len() == 32 => write!(f, "{}", range.addr()),
            Self::Range(range) => write!(f, "{range}"),
        }
    }
}

impl Serialize for Allowed {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Allowed {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse()
            .map_err(|cause| D::Error::custom(format!("{text:?} {cause}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_name_or_an_open_range() {
        let closed = |text: &str| Err(BadAllowed::Closed(text.parse().unwrap()));
        let long = format!("{}.org", "a".repeat(64));
        let endless = format!("{}org", "abc.".repeat(63));
        for (text, want) in [
            ("pypi.org", Ok("pypi.org")),
            ("*.Pypi.ORG", Ok("*.pypi.org")),
            ("_acme.x-y.example", Ok("_acme.x-y.example")),
            ("203.0.113.7", Ok("203.0.113.7")),
            ("203.0.113.0/24", Ok("203.0.113.0/24")),
            ("203.0.113.7/32", Ok("203.0.113.7")),
            (
                "203.0.113.7/24",
                Err(BadAllowed::Bits("203.0.113.0/24".parse().unwrap())),
            ),
            ("10.1.2.3", closed("10.0.0.0/8")),
            ("169.254.169.254", closed("169.254.0.0/16")),
            ("0.0.0.0/0", closed("0.0.0.0/8")),
            ("128.0.0.0/1", closed("169.254.0.0/16")),
            ("::/0", Err(BadAllowed::Ipv6)),
            ("2001:db8::1", Err(BadAllowed::Ipv6)),
            ("", Err(BadAllowed::Form)),
            ("localhost", Err(BadAllowed::Form)),
            ("*", Err(BadAllowed::Form)),
            ("a.*.org", Err(BadAllowed::Form)),
            ("pypi.org.", Err(BadAllowed::Form)),
            ("https://pypi.org", Err(BadAllowed::Ipv6)),
            ("pypi.org/simple", Err(BadAllowed::Form)),
            ("-a.org", Err(BadAllowed::Form)),
            ("münchen.de", Err(BadAllowed::Form)),
            ("1.2.3", Err(BadAllowed::Form)),
            ("1.2.3.4/33", Err(BadAllowed::Form)),
            ("a b.org", Err(BadAllowed::Form)),
            (&long, Err(BadAllowed::Form)),
            (&endless, Err(BadAllowed::Form)),
        ] {
            let got = text.parse::<Allowed>().map(|allowed| allowed.to_string());
            assert_eq!(got, want.map(String::from), "{text}");
        }
    }

    #[test]
    fn a_name_is_covered_whole_or_from_a_dot_on() {
        for (entry, name, covered) in [
            ("pypi.org", "pypi.org", true),
            ("pypi.org", "files.pypi.org", false),
            ("*.pypi.org", "files.pypi.org", true),
            ("*.pypi.org", "a.b.pypi.org", true),
            ("*.pypi.org", "pypi.org", false),
            ("*.pypi.org", "notpypi.org", false),
            ("*.pypi.org", ".pypi.org", false),
            ("203.0.113.0/24", "203.0.113.7", false),
        ] {
            let entry: Allowed = entry.parse().unwrap();
            assert_eq!(entry.covers(name), covered, "{entry} {name}");
        }
    }

    #[test]
    fn lists_that_mean_the_same_are_equal() {
        let list = |entries: &[&str]| {
            let entries = entries.iter().map(|entry| entry.parse().unwrap());
            Egress::allow_list(entries.collect())
        };
        assert_eq!(
            list(&["b.org", "A.org", "203.0.113.7/32", "b.org"]),
            list(&["203.0.113.7", "a.org", "b.org"])
        );
        assert_ne!(list(&["a.org"]), list(&["*.a.org"]));
    }

    #[test]
    fn it_is_kept_as_plain_json() {
        for (egress, json) in [
            (Egress::Internet, r#"{"mode":"internet"}"#),
            (Egress::None, r#"{"mode":"none"}"#),
            (
                Egress::AllowList(vec!["pypi.org".parse().unwrap()]),
                r#"{"mode":"allow_list","allow":["pypi.org"]}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&egress).unwrap(), json);
            assert_eq!(serde_json::from_str::<Egress>(json).unwrap(), egress);
        }
        let bad = r#"{"mode":"allow_list","allow":["10.0.0.1"]}"#;
        assert!(serde_json::from_str::<Egress>(bad).is_err());
    }
}
