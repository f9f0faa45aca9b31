//! Which questions a guest's resolver passes on, as a pure function.

use std::net::Ipv4Addr;

use clarateach_domain::egress::is_closed;
use hickory_resolver::proto::{op::ResponseCode, rr::RecordType};

/// Names of private networks: clouds keep their machines' there (ICANN reserved
/// `internal`; RFC 6762 `local`; RFC 8375 `home.arpa`).
const PRIVATE: [&str; 3] = ["internal", "local", "home.arpa"];

/// What becomes of a question.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is asked of the worker's resolvers.
    Ask,
    /// This is said at once, with no records.
    Say(ResponseCode),
}

/// Whether a question goes on to the worker's resolvers.
pub(super) fn verdict(name: &str, kind: RecordType, allowed: bool) -> Verdict {
    let below =
        |zone: &str| name == zone || name.strip_suffix(zone).is_some_and(|n| n.ends_with('.'));
    match kind {
        _ if !allowed => Verdict::Say(ResponseCode::Refused),
        _ if PRIVATE.into_iter().any(below) || points_inside(name) => {
            Verdict::Say(ResponseCode::NXDomain)
        }
        RecordType::ANY | RecordType::AXFR | RecordType::IXFR => Verdict::Say(ResponseCode::NotImp),
        // Guests have no IPv6; the others carry addresses that nobody would check.
        RecordType::AAAA | RecordType::HTTPS | RecordType::SVCB => {
            Verdict::Say(ResponseCode::NoError)
        }
        _ => Verdict::Ask,
    }
}

/// Whether somebody asks for the name of an address where no guest may go.
fn points_inside(name: &str) -> bool {
    let Some(octets) = name.strip_suffix("in-addr.arpa") else {
        return name.ends_with("ip6.arpa");
    };
    let parts = octets.trim_end_matches('.').rsplit('.');
    let mut address = [0; 4];
    for (place, part) in address.iter_mut().zip(parts) {
        match part.parse() {
            Ok(octet) => *place = octet,
            Err(_) => return true, // no address at all
        }
    }
    is_closed(Ipv4Addr::from(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_private_is_never_asked() {
        use ResponseCode::{NXDomain, NoError, NotImp, Refused};
        let say = Verdict::Say;
        for (name, kind, allowed, want) in [
            ("pypi.org", RecordType::A, true, Verdict::Ask),
            ("pypi.org", RecordType::MX, true, Verdict::Ask),
            ("pypi.org", RecordType::A, false, say(Refused)),
            ("pypi.org", RecordType::AAAA, true, say(NoError)),
            ("pypi.org", RecordType::AAAA, false, say(Refused)),
            ("pypi.org", RecordType::HTTPS, true, say(NoError)),
            ("pypi.org", RecordType::ANY, true, say(NotImp)),
            (
                "metadata.google.internal",
                RecordType::A,
                true,
                say(NXDomain),
            ),
            ("internal", RecordType::A, true, say(NXDomain)),
            ("notinternal", RecordType::A, true, Verdict::Ask),
            ("printer.local", RecordType::A, true, say(NXDomain)),
            ("8.8.8.8.in-addr.arpa", RecordType::PTR, true, Verdict::Ask),
            (
                "77.0.128.10.in-addr.arpa",
                RecordType::PTR,
                true,
                say(NXDomain),
            ),
            ("10.in-addr.arpa", RecordType::SOA, true, say(NXDomain)),
            (
                "254.169.254.169.in-addr.arpa",
                RecordType::PTR,
                true,
                say(NXDomain),
            ),
            ("x.8.8.8.in-addr.arpa", RecordType::PTR, true, say(NXDomain)),
            ("1.0.ip6.arpa", RecordType::PTR, true, say(NXDomain)),
        ] {
            assert_eq!(verdict(name, kind, allowed), want, "{name} {kind}");
        }
    }
}
