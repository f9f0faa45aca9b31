//! What a caller of `/exec` asks, parsed whole.
//!
//! Pure.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::{config::Config, learner::is_variable, reply::Refusal};

/// Without a word about it.
const DEFAULT_TIMEOUT: u64 = 600;
/// Asked otherwise, at most a day: no workshop is longer.
const LONGEST_TIMEOUT: u64 = 24 * 60 * 60;

/// One command to run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Order {
    /// Program and arguments; never empty.
    pub(crate) argv: Vec<String>,
    /// Absolute.
    pub(crate) cwd: Option<PathBuf>,
    /// Added to the login environment.
    pub(crate) env: BTreeMap<String, String>,
    /// Given to it, then end of file.
    pub(crate) stdin: Vec<u8>,
    /// Then it is killed.
    pub(crate) timeout: Duration,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    command: Option<String>,
    argv: Option<Vec<String>>,
    cwd: Option<String>,
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    stdin: String,
    timeout_seconds: Option<u64>,
}

impl Order {
    /// From the request's body.
    pub(crate) fn parse(body: &[u8], config: &Config) -> Result<Self, Refusal> {
        let bad = |message: &str| Refusal::bad("BAD_COMMAND", message);
        let raw: Raw = serde_json::from_slice(body).map_err(|cause| bad(&cause.to_string()))?;
        let argv = match (raw.command, raw.argv) {
            (Some(command), None) if !command.is_empty() => {
                vec![
                    config.shell.to_string_lossy().into_owned(),
                    "-c".to_owned(),
                    command,
                ]
            }
            (None, Some(argv)) if argv.first().is_some_and(|program| !program.is_empty()) => argv,
            _ => {
                return Err(bad(
                    "say either command (a line of shell) or argv (a program and its arguments)",
                ));
            }
        };
        if argv.iter().any(|argument| argument.contains('\0')) {
            return Err(bad("no argument can hold a NUL"));
        }
        if !raw.env.iter().all(|(name, value)| is_variable(name, value)) {
            return Err(bad("no process can have such a variable"));
        }
        let cwd = match raw.cwd {
            Some(cwd) if cwd.contains('\0') => return Err(bad("no path can hold a NUL")),
            // Joining an absolute path gives that path.
            Some(cwd) => Some(config.workspace().join(cwd)),
            None => None,
        };
        let timeout = raw.timeout_seconds.unwrap_or(DEFAULT_TIMEOUT);
        if !(1..=LONGEST_TIMEOUT).contains(&timeout) {
            return Err(bad("timeout_seconds must be 1 to 86400"));
        }
        Ok(Self {
            argv,
            cwd,
            env: raw.env,
            stdin: STANDARD
                .decode(raw.stdin)
                .map_err(|_| bad("stdin must be base64"))?,
            timeout: Duration::from_secs(timeout),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_taken_whole_or_refused() {
        let config = Config::for_a_test();
        let order = |body: &str| Order::parse(body.as_bytes(), &config);
        let good = order(
            r#"{"command":"ls","cwd":"src","stdin":"aGk=","timeout_seconds":5,"env":{"A":"1"}}"#,
        )
        .unwrap();
        assert_eq!(good.argv, ["/bin/bash", "-c", "ls"]);
        assert_eq!(
            good.cwd.unwrap(),
            PathBuf::from("/home/learner/workspace/src")
        );
        assert_eq!(good.stdin, b"hi");
        assert_eq!(good.timeout, Duration::from_secs(5));
        assert_eq!(
            order(r#"{"argv":["ls","-l"]}"#).unwrap().timeout,
            Duration::from_mins(10)
        );
        assert_eq!(
            order(r#"{"argv":["ls"],"cwd":"/tmp"}"#)
                .unwrap()
                .cwd
                .unwrap(),
            PathBuf::from("/tmp")
        );
        for body in [
            "",
            "{}",
            "[]",
            r#"{"command":""}"#,
            r#"{"argv":[]}"#,
            r#"{"argv":[""]}"#,
            r#"{"command":"ls","argv":["ls"]}"#,
            r#"{"argv":["a\u0000"]}"#,
            r#"{"command":"ls","stdin":"%%%"}"#,
            r#"{"command":"ls","timeout_seconds":0}"#,
            r#"{"command":"ls","timeout_seconds":86401}"#,
            r#"{"command":"ls","timeout_seconds":-1}"#,
            r#"{"command":"ls","env":{"A=B":"1"}}"#,
            r#"{"command":"ls","cwd":"\u0000"}"#,
            r#"{"command":"ls","user":"root"}"#,
        ] {
            assert!(order(body).is_err(), "{body}");
        }
    }
}
