//! A path, read once and written anew: what goes to the agent is made of what
//! was understood, never of the caller's own spelling.

use std::fmt::Write as _;

use clarateach_domain::ids::{SeatNo, WorkshopId};

/// What of a seat is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verb {
    /// A WebSocket.
    Terminal,
    /// A command without a terminal.
    Exec,
    /// Only shows a newer token.
    Renew,
    /// The path within the files, spelled by us, from its leading slash; empty
    /// for `…/files` itself.
    Files(String),
}

/// One seat and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) workshop: WorkshopId,
    pub(super) seat: SeatNo,
    pub(super) verb: Verb,
}

impl Route {
    /// The route a path means, if it means one.
    pub(super) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix("/proxy/")?.splitn(4, '/');
        let workshop = parts.next()?.parse().ok()?;
        let seat = parts.next()?.parse().ok()?;
        let verb = match (parts.next()?, parts.next()) {
            ("terminal", None) => Verb::Terminal,
            ("exec", None) => Verb::Exec,
            ("renew", None) => Verb::Renew,
            ("files", None) => Verb::Files(String::new()),
            ("files", Some(below)) => Verb::Files(respell(below)?),
            _ => return None,
        };
        Some(Self {
            workshop,
            seat,
            verb,
        })
    }

    /// The path as the agent gets it.
    pub(super) fn path(&self) -> String {
        let seat = format!("/proxy/{}/{}", self.workshop, self.seat);
        match &self.verb {
            Verb::Terminal => seat + "/terminal",
            Verb::Exec => seat + "/exec",
            Verb::Renew => seat + "/renew",
            Verb::Files(below) => format!("{seat}/files{below}"),
        }
    }

    /// Where the seat's files begin, without a slash at the end.
    pub(super) fn files_prefix(&self) -> String {
        format!("/proxy/{}/{}/files", self.workshop, self.seat)
    }
}

/// Segments decoded and encoded again: one spelling, no climbing, no slash or
/// NUL in disguise.
fn respell(below: &str) -> Option<String> {
    let mut path = String::with_capacity(below.len() + 1);
    for segment in below.split('/') {
        let bytes = decode(segment)?;
        let climbs = matches!(bytes.as_slice(), b"." | b"..");
        if climbs || bytes.iter().any(|byte| matches!(byte, b'/' | 0)) {
            return None;
        }
        path.push('/');
        for byte in bytes {
            let plain = byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@".contains(&byte);
            if plain {
                path.push(char::from(byte));
            } else {
                let _ = write!(path, "%{byte:02X}"); // a String takes anything
            }
        }
    }
    Some(path)
}

fn decode(segment: &str) -> Option<Vec<u8>> {
    let mut bytes = segment.bytes();
    let mut out = Vec::with_capacity(segment.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        out.push(u8::try_from(high * 16 + low).ok()?);
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_anew_or_means_nothing() {
        for (tail, want) in [
            ("3/terminal", Some("3/terminal")),
            ("4294967295/exec", Some("4294967295/exec")),
            ("3/renew", Some("3/renew")),
            ("3/files", Some("3/files")),
            ("3/files/", Some("3/files/")),
            ("3/files/a%20b/c", Some("3/files/a%20b/c")),
            ("3/files/%61%2Db", Some("3/files/a-b")),
            ("3/files/ü", Some("3/files/%C3%BC")),
            ("3/files/a%25b", Some("3/files/a%25b")),
            ("3/files/a%3Fb%23c", Some("3/files/a%3Fb%23c")),
            ("3/files//x", Some("3/files//x")),
            ("3/files/..", None),
            ("3/files/%2e%2E/x", None),
            ("3/files/./x", None),
            ("3/files/a%2fb", None),
            ("3/files/a%00", None),
            ("3/files/a%", None),
            ("3/files/a%4", None),
            ("3/files/a%zz", None),
            ("03/terminal", None),
            ("0/terminal", None),
            ("-9/terminal", None),
            ("3%2f/terminal", None),
            ("4294967299/terminal", None),
            ("3/terminal/", None),
            ("3/terminal/x", None),
            ("3/filesystem", None),
            ("3/health", None),
            ("3//terminal", None),
            ("3", None),
            ("", None),
        ] {
            let got = Route::parse(&format!("/proxy/ws-abcdefghij/{tail}"));
            let want = want.map(|tail| format!("/proxy/ws-abcdefghij/{tail}"));
            assert_eq!(got.map(|route| route.path()), want, "{tail}");
        }
        assert_eq!(Route::parse("/proxy/ws-abc/3/terminal"), None);
    }
}
