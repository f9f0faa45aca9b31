//! The words of `clarateach.terminal.v1`: what an attach asks, what text
//! frames say, both ways.
//!
//! Pure. Everything is parsed here, once; inside, a wrong size or name cannot
//! be spelled.

use std::ops::RangeInclusive;

use http::HeaderMap;
use serde_json::{Value, json};

use super::crew::Crew;
use crate::reply::Refusal;

/// With this agreed, text frames are control.
pub(crate) const SUBPROTOCOL: &str = "clarateach.terminal.v1";
/// Terminal data in one frame, either way.
pub(crate) const MAX_DATA: usize = 64 * 1024;
/// Control in one frame.
pub(crate) const MAX_CONTROL: usize = 4 * 1024;

/// A terminal's size in cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Width.
    pub(crate) cols: u16,
    /// Height.
    pub(crate) rows: u16,
}

impl Size {
    /// Widths that a screen model is kept for.
    pub(crate) const COLS: RangeInclusive<u16> = 2..=500;
    /// Heights that a screen model is kept for.
    pub(crate) const ROWS: RangeInclusive<u16> = 1..=300;
    /// Of a viewer that does not say.
    pub(crate) const DEFAULT: Self = Self { cols: 80, rows: 24 };

    /// None for what is no size.
    pub(crate) fn parse(cols: u64, rows: u64) -> Option<Self> {
        let cols = u16::try_from(cols)
            .ok()
            .filter(|n| Self::COLS.contains(n))?;
        let rows = u16::try_from(rows)
            .ok()
            .filter(|n| Self::ROWS.contains(n))?;
        Some(Self { cols, rows })
    }
}

/// What a viewer may do, from its token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The learner.
    Drive,
    /// A helper, typing with the learner's consent.
    Assist,
    /// Looks on.
    Observe,
}

impl Mode {
    fn word(self) -> &'static str {
        match self {
            Self::Drive => "drive",
            Self::Assist => "assist",
            Self::Observe => "observe",
        }
    }
}

/// `clarateach-viewer: id;mode`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Viewer {
    /// Opaque, 1 to 64 of [A-Za-z0-9._-].
    pub(crate) id: String,
    /// What it may do.
    pub(crate) mode: Mode,
}

impl Viewer {
    /// From the one header; more than one, or none, is refused.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, Refusal> {
        let mut given = headers.get_all("clarateach-viewer").iter();
        let viewer = match (given.next(), given.next()) {
            (Some(value), None) => value.to_str().ok().and_then(Self::read),
            _ => None,
        };
        viewer.ok_or_else(|| {
            Refusal::bad(
                "BAD_VIEWER",
                "clarateach-viewer must be `id;mode`, the mode drive, assist or observe",
            )
        })
    }

    fn read(raw: &str) -> Option<Self> {
        let (id, mode) = raw.split_once(';')?;
        let fits = (1..=64).contains(&id.len())
            && id
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
        let mode = match mode {
            "drive" => Mode::Drive,
            "assist" => Mode::Assist,
            "observe" => Mode::Observe,
            _ => return None,
        };
        fits.then(|| Self {
            id: id.to_owned(),
            mode,
        })
    }
}

/// What an attach asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Attach {
    /// Which terminal.
    pub(crate) terminal: String,
    /// The shell that the offset is of.
    pub(crate) instance: Option<String>,
    /// Where to continue.
    pub(crate) offset: Option<u64>,
    /// The viewer's window.
    pub(crate) size: Option<Size>,
}

impl Attach {
    /// From the query of the request.
    pub(crate) fn parse(query: &str) -> Result<Self, Refusal> {
        let bad = |what: &str| Refusal::bad("BAD_QUERY", what);
        let mut attach = Self {
            terminal: "main".to_owned(),
            instance: None,
            offset: None,
            size: None,
        };
        let (mut cols, mut rows) = (None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match name.as_ref() {
                "terminal" => attach.terminal = value.into_owned(),
                "instance" => attach.instance = Some(value.into_owned()),
                "offset" => {
                    attach.offset = Some(
                        number(&value).ok_or_else(|| bad("offset must be a number of bytes"))?,
                    );
                }
                "cols" => cols = Some(number(&value).ok_or_else(|| bad("cols must be a number"))?),
                "rows" => rows = Some(number(&value).ok_or_else(|| bad("rows must be a number"))?),
                _ => {} // a later client may ask for more
            }
        }
        let name_fits = (1..=32).contains(&attach.terminal.len())
            && attach
                .terminal
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        if !name_fits {
            return Err(bad("terminal must be 1 to 32 of a-z, 0-9 and -"));
        }
        attach.size = match (cols, rows) {
            (None, None) => None,
            (Some(cols), Some(rows)) => Some(
                Size::parse(cols, rows)
                    .ok_or_else(|| bad("cols must be 2 to 500 and rows 1 to 300"))?,
            ),
            _ => return Err(bad("cols and rows go together")),
        };
        Ok(attach)
    }
}

/// Digits only: no sign, no space, no 20-digit surprise.
fn number(raw: &str) -> Option<u64> {
    raw.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| raw.parse().ok())
        .flatten()
}

/// What a viewer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// Its window changed.
    Resize(Size),
    /// It has drawn up to here.
    Ack(u64),
    /// Is anybody there?
    Ping,
    /// A helper may, or may no longer, type.
    Consent {
        /// As in `clarateach-viewer`.
        viewer: String,
        /// May, or no longer.
        allow: bool,
    },
    /// From a later version: ignored.
    Unknown,
}

impl Said {
    /// The error is the reason for an `error` frame.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let said: Value = serde_json::from_str(text).map_err(|_| "bad_json")?;
        let kind = said.get("type").and_then(Value::as_str).ok_or("no_type")?;
        let number = |field: &str| said.get(field).and_then(Value::as_u64);
        match kind {
            "resize" => number("cols")
                .zip(number("rows"))
                .and_then(|(cols, rows)| Size::parse(cols, rows))
                .map(Self::Resize)
                .ok_or("bad_resize"),
            "ack" => number("offset").map(Self::Ack).ok_or("bad_ack"),
            "ping" => Ok(Self::Ping),
            "consent" => {
                let viewer = said.get("viewer").and_then(Value::as_str);
                let allow = said.get("allow").and_then(Value::as_bool);
                viewer
                    .zip(allow)
                    .map(|(viewer, allow)| Self::Consent {
                        viewer: viewer.to_owned(),
                        allow,
                    })
                    .ok_or("bad_consent")
            }
            _ => Ok(Self::Unknown),
        }
    }
}

/// Shown by every client outside the terminal's own cells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Notice(String);

impl Notice {
    /// None for an unknown kind. `at_millis` 0 means no time.
    pub(crate) fn new(kind: &str, message: &str, at_millis: i64) -> Option<Self> {
        if !matches!(kind, "preempted" | "expiring" | "draining" | "help") {
            return None;
        }
        let at = (at_millis > 0).then_some(at_millis);
        Some(Self(
            json!({"type": "notice", "kind": kind, "message": message, "at": at}).to_string(),
        ))
    }

    /// The frame.
    pub(crate) fn frame(&self) -> String {
        self.0.clone()
    }
}

/// The first frame of every attach.
pub(crate) fn attached(
    attach: &str,
    instance: &str,
    offset: u64,
    oldest: u64,
    size: Size,
    viewers: usize,
) -> String {
    json!({
        "type": "attached", "terminal": attach, "instance": instance,
        "offset": offset, "oldest": oldest,
        "cols": size.cols, "rows": size.rows, "viewers": viewers,
    })
    .to_string()
}

/// Exactly `bytes` uncounted bytes follow; `lost` were skipped.
pub(crate) fn repaint(offset: u64, bytes: usize, lost: u64) -> String {
    json!({"type": "repaint", "offset": offset, "bytes": bytes, "lost": lost}).to_string()
}

/// The shell that was asked for is gone; here is another.
pub(crate) fn restarted() -> String {
    json!({"type": "restarted"}).to_string()
}

/// The replay is over.
pub(crate) fn live() -> String {
    json!({"type": "live"}).to_string()
}

/// The terminal has a new size.
pub(crate) fn resized(size: Size) -> String {
    json!({"type": "resized", "cols": size.cols, "rows": size.rows}).to_string()
}

/// Who is here: how many, those who are not the learner, and who typed last.
pub(crate) fn viewers(crew: &Crew) -> String {
    let one = |(viewer, mode): (&str, Mode)| json!({"viewer": viewer, "mode": mode.word()});
    let watching: Vec<Value> = crew.watching().map(one).collect();
    json!({
        "type": "viewers", "n": crew.count(), "watching": watching,
        "typing": crew.typing().map(one),
    })
    .to_string()
}

/// The shell ended.
pub(crate) fn exit(code: i32) -> String {
    json!({"type": "exit", "code": code}).to_string()
}

/// Something was refused.
pub(crate) fn error(reason: &str) -> String {
    json!({"type": "error", "reason": reason}).to_string()
}

/// The answer to a ping.
pub(crate) fn pong() -> String {
    json!({"type": "pong"}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_viewer_says_is_understood_refused_or_ignored() {
        let size = |cols, rows| Ok(Said::Resize(Size { cols, rows }));
        let cases = [
            (r#"{"type":"resize","cols":80,"rows":24}"#, size(80, 24)),
            (r#"{"type":"resize","cols":2,"rows":1}"#, size(2, 1)),
            (r#"{"type":"resize","cols":0,"rows":24}"#, Err("bad_resize")),
            (
                r#"{"type":"resize","cols":80,"rows":65535}"#,
                Err("bad_resize"),
            ),
            (
                r#"{"type":"resize","cols":"80","rows":24}"#,
                Err("bad_resize"),
            ),
            (
                r#"{"type":"resize","cols":-1,"rows":24}"#,
                Err("bad_resize"),
            ),
            (
                r#"{"type":"resize","cols":80.5,"rows":24}"#,
                Err("bad_resize"),
            ),
            (r#"{"type":"resize"}"#, Err("bad_resize")),
            (r#"{"type":"ack","offset":7}"#, Ok(Said::Ack(7))),
            (r#"{"type":"ack","offset":-7}"#, Err("bad_ack")),
            (r#"{"type":"ping"}"#, Ok(Said::Ping)),
            (r#"{"type":"dance"}"#, Ok(Said::Unknown)),
            (r#"{"type":7}"#, Err("no_type")),
            ("[]", Err("no_type")),
            ("ls", Err("bad_json")),
            (
                r#"{"type":"consent","viewer":"t","allow":true}"#,
                Ok(Said::Consent {
                    viewer: "t".into(),
                    allow: true,
                }),
            ),
            (r#"{"type":"consent","viewer":"t"}"#, Err("bad_consent")),
        ];
        for (text, wanted) in cases {
            assert_eq!(Said::parse(text), wanted, "{text}");
        }
    }

    #[test]
    fn an_attach_is_read_or_refused() {
        let good = [
            ("", "main", None, None),
            ("terminal=two&offset=17", "two", Some(17), None),
            (
                "cols=80&rows=24&later=1",
                "main",
                None,
                Some(Size { cols: 80, rows: 24 }),
            ),
        ];
        for (query, terminal, offset, size) in good {
            let attach = Attach::parse(query).unwrap();
            assert_eq!(
                (attach.terminal.as_str(), attach.offset, attach.size),
                (terminal, offset, size),
                "{query}"
            );
        }
        for query in [
            "terminal=",
            "terminal=A",
            "terminal=..%2f",
            "offset=-1",
            "offset=x",
            "offset=",
            "offset=99999999999999999999",
            "cols=80",
            "cols=0&rows=24",
            "cols=80&rows=65535",
            "cols=+80&rows=24",
        ] {
            assert!(Attach::parse(query).is_err(), "{query}");
        }
        assert!(Attach::parse(&format!("terminal={}", "a".repeat(33))).is_err());
    }

    #[test]
    fn a_viewer_is_an_id_and_a_mode() {
        for (raw, mode) in [
            ("a.b_c-1;drive", Some(Mode::Drive)),
            ("x;assist", Some(Mode::Assist)),
            ("x;observe", Some(Mode::Observe)),
            ("x;root", None),
            ("x", None),
            (";drive", None),
            ("a b;drive", None),
            ("x;drive;", None),
        ] {
            assert_eq!(Viewer::read(raw).map(|viewer| viewer.mode), mode, "{raw}");
        }
    }
}
