//! One line of the doctor, and what figures mean. Pure.

use std::{ffi::OsString, fmt::Write as _, time::SystemTime};

use serde_json::{Value, json};

use crate::output::plain;

/// Farther apart than this, certificates and tokens may be judged wrongly.
const FAR: u64 = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Ok,
    Skipped,
    Warns,
    Fails,
}

/// What was looked at, what was found, and what to do.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Check {
    name: String,
    state: State,
    found: String,
    fix: Option<String>,
}

impl Check {
    fn new(state: State, name: &str, found: &str, fix: Option<&str>) -> Self {
        Self {
            name: name.to_owned(),
            state,
            found: plain(found),
            fix: fix.map(ToOwned::to_owned),
        }
    }

    pub(super) fn ok(name: &str, found: &str) -> Self {
        Self::new(State::Ok, name, found, None)
    }

    pub(super) fn skipped(name: &str, found: impl Into<String>, fix: Option<&str>) -> Self {
        Self::new(State::Skipped, name, &found.into(), fix)
    }

    pub(super) fn warns(name: &str, found: impl Into<String>, fix: Option<&str>) -> Self {
        Self::new(State::Warns, name, &found.into(), fix)
    }

    pub(super) fn fails(name: &str, found: impl Into<String>, fix: Option<&str>) -> Self {
        Self::new(State::Fails, name, &found.into(), fix)
    }

    pub(super) fn is_failure(&self) -> bool {
        self.state == State::Fails
    }

    /// For people: the fix under it.
    pub(super) fn text(&self) -> String {
        let word = match self.state {
            State::Ok => "OK",
            State::Skipped => "-",
            State::Warns => "WARNS",
            State::Fails => "FAILS",
        };
        let mut text = format!("{word:<6} {:<16} {}", self.name, self.found);
        if let Some(fix) = &self.fix {
            let _ = write!(text, "\n         {fix}");
        }
        text
    }

    pub(super) fn as_json(&self) -> Value {
        let state = match self.state {
            State::Ok => "ok",
            State::Skipped => "skipped",
            State::Warns => "warns",
            State::Fails => "fails",
        };
        json!({ "name": self.name, "state": state, "found": self.found, "fix": self.fix })
    }
}

/// How far this clock is from the server's.
pub(super) fn clock(server: Option<SystemTime>, here: SystemTime) -> Check {
    let Some(server) = server else {
        return Check::skipped("clock", "the server did not say the time", None);
    };
    let (apart, way) = match here.duration_since(server) {
        Ok(ahead) => (ahead.as_secs(), "ahead of"),
        Err(behind) => (behind.duration().as_secs(), "behind"),
    };
    if apart <= FAR {
        return Check::ok("clock", &format!("{apart} s {way} the server's"));
    }
    Check::warns(
        "clock",
        format!("{apart} s {way} the server's"),
        Some(
            "Certificates may seem expired or not yet valid: set the time (timedatectl set-ntp true).",
        ),
    )
}

/// Whether this program and the server are of one age. The first two numbers count.
pub(super) fn version(server: &str, own: &str) -> Check {
    let age = |text: &str| {
        text.split('.')
            .take(2)
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let found = format!("server {server}, this program {own}");
    if age(server) == age(own) {
        return Check::ok("versions", &found);
    }
    Check::warns(
        "versions",
        found,
        Some("What one knows the other may not: use the clarateach of the server's release."),
    )
}

/// Proxies that others obey and this program does not.
pub(super) fn proxies(variables: impl Iterator<Item = OsString>) -> Option<Check> {
    let mut found: Vec<String> = variables
        .filter_map(|name| name.into_string().ok())
        .filter(|name| {
            ["http_proxy", "https_proxy", "all_proxy"].contains(&name.to_ascii_lowercase().as_str())
        })
        .collect();
    found.sort();
    (!found.is_empty()).then(|| {
        Check::warns(
            "proxy",
            format!("{} is set and not used", found.join(", ")),
            Some("This program dials the server itself; where only a proxy leads out, use the web page."),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    #[test]
    fn a_clock_may_be_a_minute_off() {
        let server = UNIX_EPOCH + Duration::from_secs(1_000_000);
        for (off, state) in [
            (0, State::Ok),
            (60, State::Ok),
            (61, State::Warns),
            (3600, State::Warns),
        ] {
            let off = Duration::from_secs(off);
            assert_eq!(
                clock(Some(server), server + off).state,
                state,
                "{off:?} ahead"
            );
            assert_eq!(
                clock(Some(server), server - off).state,
                state,
                "{off:?} behind"
            );
        }
        assert_eq!(clock(None, server).state, State::Skipped);
    }

    #[test]
    fn releases_are_told_apart_by_two_numbers() {
        for (server, own, state) in [
            ("0.1.0", "0.1.0", State::Ok),
            ("0.1.7", "0.1.0", State::Ok),
            ("0.2.0", "0.1.0", State::Warns),
            ("1.1.0", "0.1.0", State::Warns),
            ("", "0.1.0", State::Warns),
        ] {
            assert_eq!(version(server, own).state, state, "{server} {own}");
        }
    }

    #[test]
    fn proxies_are_seen_however_they_are_spelled() {
        let names = |text: &str| {
            text.split_whitespace()
                .map(OsString::from)
                .collect::<Vec<_>>()
        };
        assert!(proxies(names("HOME PATH no_proxy").into_iter()).is_none());
        let check = proxies(names("https_proxy HTTP_PROXY").into_iter()).unwrap();
        assert_eq!(check.found, "HTTP_PROXY, https_proxy is set and not used");
    }

    #[test]
    fn every_failure_says_what_to_do_under_it() {
        let text = Check::fails("tls", "no\x1b[2J", Some("do this")).text();
        assert_eq!(text, "FAILS  tls              no[2J\n         do this");
    }
}
