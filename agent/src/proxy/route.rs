//! A request's path, read once and strictly.
//!
//! Way: path text -> [`Route`]. What is not exactly one of the forms below is
//! no route; nothing is decoded, trimmed or forgiven, so that one seat has one
//! spelling and two parsers cannot disagree.

use clarateach_domain::ids::{SeatNo, WorkshopId};

/// What of a seat is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verb {
    /// `…/terminal`: a WebSocket.
    Terminal,
    /// `…/exec`: a command without a terminal.
    Exec,
    /// `…/files` and below: the path within the files, as it was spelled, from
    /// its leading slash.
    Files(String),
    /// `…/renew`: only shows a newer token.
    Renew,
}

/// One seat and what is asked of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    /// The workshop named in the path.
    pub(crate) workshop: WorkshopId,
    /// The seat named in the path.
    pub(crate) seat: SeatNo,
    /// What is asked.
    pub(crate) verb: Verb,
}

impl Route {
    /// The route a path means, if it means one.
    pub(crate) fn parse(path: &str) -> Option<Self> {
        let mut parts = path.strip_prefix("/proxy/")?.splitn(3, '/');
        let workshop = parts.next()?.parse().ok()?;
        let seat = parts.next()?.parse().ok()?;
        let verb = match parts.next()? {
            "terminal" => Verb::Terminal,
            "exec" => Verb::Exec,
            "renew" => Verb::Renew,
            "files" => Verb::Files("/".to_owned()),
            rest => {
                let below = rest.strip_prefix("files")?;
                below
                    .starts_with('/')
                    .then(|| Verb::Files(below.to_owned()))?
            }
        };
        Some(Self {
            workshop,
            seat,
            verb,
        })
    }

    /// Where the seat's files begin, without a slash at the end.
    pub(crate) fn files_prefix(&self) -> String {
        format!("/proxy/{}/{}/files", self.workshop, self.seat)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_means_one_thing_or_nothing() {
        let seat = |n: u32| SeatNo::try_from(n).unwrap();
        let files = |path: &str| Verb::Files(path.to_owned());
        for (tail, want) in [
            ("3/terminal", Some((3, Verb::Terminal))),
            ("4294967295/exec", Some((u32::MAX, Verb::Exec))),
            ("3/renew", Some((3, Verb::Renew))),
            ("3/files", Some((3, files("/")))),
            ("3/files/", Some((3, files("/")))),
            ("3/files/a%20b/c", Some((3, files("/a%20b/c")))),
            ("3/files//x", Some((3, files("//x")))),
            ("03/terminal", None),
            ("0/terminal", None),
            ("-9/terminal", None),
            ("+3/terminal", None),
            ("%33/terminal", None),
            ("3%2f/terminal", None),
            ("3%3f/terminal", None),
            ("3;x/terminal", None),
            ("4294967299/terminal", None),
            ("3/", None),
            ("3", None),
            ("", None),
            ("/terminal", None),
            ("3//terminal", None),
            ("3/terminal/", None),
            ("3/Terminal", None),
            ("3/terminal%00", None),
            ("3/exec/x", None),
            ("3/filesystem", None),
            ("3/../4/terminal", None),
            ("3/health", None),
        ] {
            let got = Route::parse(&format!("/proxy/ws-abcdefghij/{tail}"));
            let got = got.map(|route| (route.seat, route.verb));
            assert_eq!(got, want.map(|(n, verb)| (seat(n), verb)), "{tail}");
        }
        for path in [
            "/proxy/WS-ABCDEFGHIJ/3/terminal",
            "/proxy/ws-abc/3/terminal",
            "/proxy//3/terminal",
            "//proxy/ws-abcdefghij/3/terminal",
            "/Proxy/ws-abcdefghij/3/terminal",
            "/proxy/ws-abcdefghij",
            "*",
            "/",
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }
}
