//! What seats may reach, as callers ask for it and as they read it.

use clarateach_domain::egress::{Allowed, Egress, MAX_ALLOWED};
use clarateach_proto::workshop::{self as pb, egress_policy::Mode};

use super::wish::Faults;

/// The policy that is asked for; every entry that is refused is a fault of its
/// own.
pub(super) fn asked(asked: &pb::EgressPolicy, faults: &mut Faults) -> Egress {
    let Ok(mode) = Mode::try_from(asked.mode) else {
        faults.add("egress.mode", "must be internet, none or allow_list");
        return Egress::None;
    };
    let entries = asked.allow.len();
    match mode {
        Mode::AllowList if entries == 0 => faults.add(
            "egress.allow",
            "must have an entry with mode allow_list: mode none closes everything",
        ),
        Mode::AllowList if entries > MAX_ALLOWED => faults.add(
            "egress.allow",
            format!("must have at most {MAX_ALLOWED} entries, not {entries}"),
        ),
        Mode::AllowList => return Egress::allow_list(entries_of(asked, faults)),
        Mode::Unspecified | Mode::Internet | Mode::None if entries > 0 => {
            faults.add("egress.allow", "must be empty without mode allow_list");
        }
        Mode::Unspecified | Mode::Internet => return Egress::Internet,
        Mode::None => {}
    }
    Egress::None
}

fn entries_of(asked: &pb::EgressPolicy, faults: &mut Faults) -> Vec<Allowed> {
    let mut allowed = Vec::new();
    for (n, entry) in asked.allow.iter().enumerate() {
        match entry.parse() {
            Ok(entry) => allowed.push(entry),
            Err(why) => {
                // Cut and quoted: it is shown in terminals.
                let shown: String = entry.chars().take(80).collect();
                faults.add(&format!("egress.allow[{n}]"), format!("{shown:?}: {why}"));
            }
        }
    }
    allowed
}

/// The policy, as the schema has it.
pub(super) fn shown(egress: &Egress) -> pb::EgressPolicy {
    let (mode, allow) = match egress {
        Egress::Internet => (Mode::Internet, Vec::new()),
        Egress::None => (Mode::None, Vec::new()),
        Egress::AllowList(allow) => {
            let allow = allow.iter().map(ToString::to_string);
            (Mode::AllowList, allow.collect())
        }
    };
    pb::EgressPolicy {
        mode: mode.into(),
        allow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(mode: i32, allow: &[&str]) -> pb::EgressPolicy {
        pb::EgressPolicy {
            mode,
            allow: allow.iter().map(ToString::to_string).collect(),
        }
    }

    #[test]
    fn a_policy_is_shown_as_it_was_asked_for() {
        let listed = Mode::AllowList.into();
        for (said, want) in [
            (ask(0, &[]), ask(Mode::Internet.into(), &[])),
            (
                ask(Mode::Internet.into(), &[]),
                ask(Mode::Internet.into(), &[]),
            ),
            (ask(Mode::None.into(), &[]), ask(Mode::None.into(), &[])),
            // In an order of its own, each entry once.
            (
                ask(listed, &["203.0.113.0/24", "*.Pypi.org", "*.pypi.org"]),
                ask(listed, &["*.pypi.org", "203.0.113.0/24"]),
            ),
        ] {
            let mut faults = Faults::default();
            let policy = asked(&said, &mut faults);
            assert_eq!(faults.none_or(shown(&policy)), Ok(want), "{said:?}");
        }
    }

    #[test]
    fn a_policy_that_cannot_be_is_refused_with_field_and_reason() {
        let listed = Mode::AllowList.into();
        let many = ["pypi.org"; MAX_ALLOWED + 1];
        for (said, want) in [
            (
                ask(9, &[]),
                vec![("egress.mode", "must be internet, none or allow_list")],
            ),
            (
                ask(Mode::None.into(), &["pypi.org"]),
                vec![("egress.allow", "must be empty without mode allow_list")],
            ),
            (
                ask(0, &["pypi.org"]),
                vec![("egress.allow", "must be empty without mode allow_list")],
            ),
            (
                ask(listed, &[]),
                vec![(
                    "egress.allow",
                    "must have an entry with mode allow_list: mode none closes everything",
                )],
            ),
            (
                ask(listed, &many),
                vec![("egress.allow", "must have at most 100 entries, not 101")],
            ),
            // All of them at once.
            (
                ask(
                    listed,
                    &[
                        "pypi.org",
                        "https://a",
                        "10.1.2.3",
                        "2001:db8::/32",
                        "\u{1b}[2J",
                    ],
                ),
                vec![
                    (
                        "egress.allow[1]",
                        "\"https://a\": is IPv6, which seats do not have",
                    ),
                    (
                        "egress.allow[2]",
                        "\"10.1.2.3\": meets 10.0.0.0/8, which is closed to seats whatever the policy",
                    ),
                    (
                        "egress.allow[3]",
                        "\"2001:db8::/32\": is IPv6, which seats do not have",
                    ),
                    (
                        "egress.allow[4]",
                        "\"\\u{1b}[2J\": must be a host name like pypi.org or *.pypi.org, or a range like 203.0.113.0/24",
                    ),
                ],
            ),
        ] {
            let mut faults = Faults::default();
            asked(&said, &mut faults);
            let refused = faults.none_or(()).unwrap_err();
            let got = refused.fields.iter();
            let got: Vec<_> = got
                .map(|bad| (bad.field.as_str(), bad.description.as_str()))
                .collect();
            assert_eq!(got, want, "{said:?}");
        }
    }
}
