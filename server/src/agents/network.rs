//! What seats may reach and how their walls stand, to the agent's wire and back.

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use clarateach_domain::{
    egress::{Egress, MAX_ALLOWED},
    network::NetworkHealth,
};
use clarateach_proto::agent::{self as pb, egress_policy::Mode};

use super::wire::{time, words};

pub(super) fn set_egress(egress: &Egress) -> pb::SetEgressPolicyRequest {
    let (mode, allow) = match egress {
        Egress::Internet => (Mode::Internet, Vec::new()),
        Egress::None => (Mode::None, Vec::new()),
        Egress::AllowList(allow) => {
            let allow = allow.iter().map(ToString::to_string);
            (Mode::AllowList, allow.collect())
        }
    };
    let mode = mode.into();
    pb::SetEgressPolicyRequest {
        egress: Some(pb::EgressPolicy { mode, allow }),
    }
}

/// The policy an agent says it holds; what makes no sense counts as none, and
/// the agent is told again.
pub(super) fn egress(said: Option<&pb::EgressPolicy>) -> Option<Egress> {
    let said = said?;
    match Mode::try_from(said.mode).ok()? {
        Mode::Unspecified => None,
        Mode::Internet => Some(Egress::Internet),
        Mode::None => Some(Egress::None),
        Mode::AllowList if said.allow.len() > MAX_ALLOWED => None,
        Mode::AllowList => {
            let allow = said.allow.iter().map(|entry| entry.parse().ok());
            allow.collect::<Option<Vec<_>>>().map(Egress::allow_list)
        }
    }
}

/// How an agent says its seats' walls stand; `None` if it does not say.
pub(super) fn health(
    said: Option<&pb::NetworkHealth>,
    now: DateTime<Utc>,
) -> Option<NetworkHealth> {
    let said = said?;
    let past = |at: &DateTime<Utc>| *at <= now + TimeDelta::days(1);
    let at = said.last_drift_at.and_then(time).filter(past);
    Some(NetworkHealth {
        repairs: said.repairs,
        drift: words(&said.last_drift, 500),
        // As exact as every database keeps it: another time is another drift.
        drift_at: at.map(|at| at.trunc_subsecs(6)),
        fault: words(&said.fault, 500),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_comes_back_as_it_was_sent() {
        let list = |names: &[&str]| {
            let names = names.iter().map(|name| name.parse().unwrap());
            Egress::allow_list(names.collect())
        };
        for policy in [
            Egress::Internet,
            Egress::None,
            list(&["*.pypi.org", "203.0.113.0/24"]),
        ] {
            let sent = set_egress(&policy).egress;
            assert_eq!(egress(sent.as_ref()), Some(policy));
        }
        let said = |mode: i32, allow: Vec<&str>| pb::EgressPolicy {
            mode,
            allow: allow.into_iter().map(String::from).collect(),
        };
        let listed = Mode::AllowList.into();
        for (said, held) in [
            (None, None),
            (Some(said(0, vec![])), None),
            (Some(said(9, vec![])), None),
            (Some(said(listed, vec!["10.0.0.1"])), None),
            (Some(said(listed, vec!["a.org"; MAX_ALLOWED + 1])), None),
            // Another order is the same policy.
            (
                Some(said(listed, vec!["b.org", "a.org"])),
                Some(list(&["a.org", "b.org"])),
            ),
        ] {
            assert_eq!(egress(said.as_ref()), held, "{said:?}");
        }
    }

    #[test]
    fn health_is_kept_within_what_rows_hold() {
        let now = DateTime::from_timestamp(1_800_000_000, 123_456_789).unwrap();
        let said = |seconds| pb::NetworkHealth {
            repairs: u64::MAX,
            last_drift: "\u{1b}[31m".repeat(1000),
            last_drift_at: Some(prost_types::Timestamp {
                seconds,
                nanos: 123_456_789,
            }),
            fault: "no\nnft".into(),
        };
        assert_eq!(health(None, now), None);
        let heard = health(Some(&said(1_800_000_000)), now).unwrap();
        assert_eq!(heard.drift.chars().count(), 500);
        assert_eq!(heard.fault, "nonft");
        assert_eq!(heard.drift_at, Some(now.trunc_subsecs(6)));
        for seconds in [0, i64::MAX, 1_800_000_000 + 2 * 86_400] {
            assert_eq!(health(Some(&said(seconds)), now).unwrap().drift_at, None);
        }
    }
}
