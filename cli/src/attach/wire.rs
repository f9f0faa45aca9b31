//! `clarateach.terminal.v1` as its client sees it: where in the shell's output
//! we are, what to ask for, and what the frames say. Pure.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::json;

/// Which shell, and the first byte of its output that we have not shown.
#[derive(Debug)]
pub(super) struct Place {
    terminal: String,
    instance: Option<String>,
    /// Bytes of the shell's output, from its start.
    pub(super) offset: u64,
    /// Ask for a picture of the screen instead of the bytes missed.
    pub(super) want_repaint: bool,
    /// Bytes still to come that draw the screen and count for nothing.
    uncounted: u64,
    /// No replay is going on: what the terminal answers is meant for the shell.
    pub(super) live: bool,
}

/// What a control frame means for us.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// The shell ended with this code.
    Exited(u8),
    /// For people.
    Say(String),
}

/// Control frames of the server (`decisions` §4).
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Control {
    Attached {
        instance: String,
        offset: u64,
    },
    Repaint {
        offset: u64,
        bytes: u64,
    },
    Restarted,
    Live,
    Exit {
        code: i64,
    },
    Error {
        reason: String,
    },
    Notice {
        message: String,
    },
    /// Newer than we are, or nothing to us.
    #[serde(other)]
    Other,
}

impl Place {
    pub(super) fn new(terminal: &str) -> Self {
        Self {
            terminal: terminal.to_owned(),
            instance: None,
            offset: 0,
            want_repaint: false,
            uncounted: 0,
            live: false,
        }
    }

    /// What to ask for. Instance ids and terminal names need no escaping: the
    /// server's are checked when they arrive, the name's by the server.
    pub(super) fn query(&self, size: Option<(u16, u16)>) -> String {
        let mut query = format!("terminal={}", self.terminal);
        if let Some(instance) = self.instance.as_ref().filter(|_| !self.want_repaint) {
            let _ = write!(query, "&instance={instance}&offset={}", self.offset);
        }
        if let Some((cols, rows)) = size {
            let _ = write!(query, "&cols={cols}&rows={rows}");
        }
        query
    }

    /// Output was shown.
    pub(super) fn shown(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        let picture = bytes.min(self.uncounted);
        self.uncounted -= picture;
        self.offset += bytes - picture;
    }

    /// A control frame arrived.
    pub(super) fn control(&mut self, text: &str) -> Option<News> {
        // What cannot be read is newer than we are.
        match serde_json::from_str(text).unwrap_or(Control::Other) {
            Control::Attached { instance, offset } => {
                self.live = false;
                self.uncounted = 0;
                let same = self.instance.as_ref() == Some(&instance) && !self.want_repaint;
                if !same {
                    self.offset = offset;
                    let safe = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
                    self.instance = Some(instance).filter(|id| id.chars().all(safe));
                }
                self.want_repaint = false;
            }
            Control::Repaint { offset, bytes } => {
                self.offset = offset;
                self.uncounted = bytes;
            }
            Control::Restarted => {
                self.offset = 0;
                return Some(News::Say("the machine was started anew".into()));
            }
            Control::Live => self.live = true,
            Control::Exit { code } => {
                return Some(News::Exited(u8::try_from(code & 0xff).unwrap_or(1)));
            }
            Control::Error { reason } => return Some(News::Say(reason)),
            Control::Notice { message } => return Some(News::Say(message)),
            Control::Other => {}
        }
        None
    }
}

pub(super) fn ack(offset: u64) -> String {
    json!({"type": "ack", "offset": offset}).to_string()
}

pub(super) fn resize((cols, rows): (u16, u16)) -> String {
    json!({"type": "resize", "cols": cols, "rows": rows}).to_string()
}

pub(super) fn ping() -> String {
    json!({"type": "ping"}).to_string()
}

/// Whether these keys are a terminal's own answer to something a replay asked
/// long ago: device attributes, cursor position, colours, focus.
pub(super) fn is_reply(keys: &[u8]) -> bool {
    match keys {
        [0x1b, b']' | b'P', ..] => true,
        [0x1b, b'[', middle @ .., end] => {
            let numbers = middle.iter().all(|b| (0x20..=0x3f).contains(b));
            numbers
                && match end {
                    b'c' | b'R' | b'n' | b'y' => true,
                    b'I' | b'O' => middle.is_empty(),
                    b'u' => middle.first() == Some(&b'?'),
                    b't' => !middle.is_empty(),
                    _ => false,
                }
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attached(offset: u64) -> String {
        format!(
            r#"{{"type":"attached","terminal":"main","instance":"i1","offset":{offset},"oldest":0,"cols":80,"rows":24,"viewers":1}}"#
        )
    }

    #[test]
    fn a_new_terminal_starts_with_a_picture_that_does_not_count() {
        let mut place = Place::new("main");
        assert_eq!(place.query(Some((80, 24))), "terminal=main&cols=80&rows=24");
        place.control(&attached(0));
        place.control(r#"{"type":"repaint","offset":100,"bytes":7,"lost":93}"#);
        place.shown(5);
        assert_eq!(place.offset, 100);
        place.shown(5);
        assert_eq!(place.offset, 103);
        assert!(!place.live);
        place.control(r#"{"type":"live"}"#);
        assert!(place.live);
        assert_eq!(place.query(None), "terminal=main&instance=i1&offset=103");
    }

    #[test]
    fn the_same_shell_goes_on_where_we_were() {
        let mut place = Place::new("main");
        place.control(&attached(0));
        place.shown(42);
        place.control(&attached(1000));
        assert_eq!(place.offset, 42);
    }

    #[test]
    fn another_shell_starts_at_nought() {
        let mut place = Place::new("main");
        place.control(&attached(0));
        place.shown(42);
        place.control(r#"{"type":"attached","instance":"i2","offset":0}"#);
        assert!(matches!(
            place.control(r#"{"type":"restarted"}"#),
            Some(News::Say(_))
        ));
        assert_eq!(place.query(None), "terminal=main&instance=i2&offset=0");
    }

    #[test]
    fn a_picture_can_be_asked_for_once() {
        let mut place = Place::new("main");
        place.control(&attached(0));
        place.want_repaint = true;
        assert_eq!(place.query(None), "terminal=main");
        place.control(&attached(9));
        assert_eq!(place.query(None), "terminal=main&instance=i1&offset=9");
    }

    #[test]
    fn an_instance_never_becomes_part_of_the_address() {
        let mut place = Place::new("main");
        place.control(r#"{"type":"attached","instance":"x&offset=9#","offset":0}"#);
        assert_eq!(place.query(None), "terminal=main");
    }

    #[test]
    fn the_shells_code_is_ours_and_the_unknown_is_nothing() {
        let mut place = Place::new("main");
        assert_eq!(
            place.control(r#"{"type":"exit","code":3}"#),
            Some(News::Exited(3))
        );
        assert_eq!(
            place.control(r#"{"type":"exit","code":256}"#),
            Some(News::Exited(0))
        );
        for text in [
            r#"{"type":"from_the_future","x":1}"#,
            "not json",
            "[]",
            r#"{"type":"exit"}"#,
        ] {
            assert_eq!(place.control(text), None, "{text}");
        }
    }

    #[test]
    fn answers_of_the_terminal_are_told_from_keys() {
        for reply in [
            "\x1b[?62;22c",
            "\x1b[>0;276;0c",
            "\x1b[12;40R",
            "\x1b[0n",
            "\x1b]11;rgb:0/0/0\x07",
            "\x1b[I",
        ] {
            assert!(is_reply(reply.as_bytes()), "{reply:?}");
        }
        for keys in [
            "a",
            "\x1b",
            "\x1b[A",
            "\x1bOP",
            "\x1b[3~",
            "\x1b[200~x\x1b[201~",
            "\r",
            "\x03",
        ] {
            assert!(!is_reply(keys.as_bytes()), "{keys:?}");
        }
    }
}
