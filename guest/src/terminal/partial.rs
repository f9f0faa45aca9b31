//! Follows output just closely enough to know whether it stands in the middle
//! of an escape sequence or of a character.
//!
//! Pure. A repaint made there must be followed by what has already come of the
//! sequence, or its rest would appear on the viewer's screen as text.

/// A sequence longer than this (a picture, a clipboard) is not repeated.
const LONGEST: usize = 4096;

const ESC: u8 = 0x1b;

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Ground,
    Escape,
    Csi,
    Text,
    TextEscape,
    Character(u8),
}

/// Where the stream stands, and what an unfinished sequence has had so far.
#[derive(Default)]
pub(crate) struct Partial {
    place: Place,
    begun: Vec<u8>,
}

impl Partial {
    /// The unfinished sequence at the end of the stream; mostly empty.
    pub(crate) fn begun(&self) -> &[u8] {
        if self.begun.len() > LONGEST {
            return &[];
        }
        &self.begun
    }

    /// Whether it stands within an escape sequence that is no text.
    pub(crate) fn in_sequence(&self) -> bool {
        matches!(self.place, Place::Escape | Place::Csi)
    }

    /// Follows more output.
    pub(crate) fn follow(&mut self, output: &[u8]) {
        for byte in output {
            let next = step(self.place, *byte);
            if next == Place::Ground {
                self.begun.clear();
            } else {
                // A new one began within the old: only the new one counts.
                let anew = matches!(next, Place::Escape | Place::Character(_))
                    && !matches!(
                        (self.place, next),
                        (Place::Escape, Place::Escape) | (Place::Character(_), Place::Character(_))
                    );
                if anew || (self.place == Place::Escape && *byte == ESC) {
                    self.begun.clear();
                }
                if self.begun.len() <= LONGEST {
                    self.begun.push(*byte);
                }
            }
            self.place = next;
        }
    }
}

#[allow(clippy::match_same_arms)] // one place a line; the order matters
fn step(place: Place, byte: u8) -> Place {
    match (place, byte) {
        (_, 0x18 | 0x1a) => Place::Ground, // CAN, SUB
        (Place::Ground | Place::Csi, ESC) | (Place::Escape, ESC | 0x20..=0x2f) => Place::Escape,
        (Place::Ground, _) => begin(byte),
        (Place::Escape, b'[') => Place::Csi,
        (Place::Escape, b']' | b'P' | b'X' | b'^' | b'_') => Place::Text,
        (Place::Escape, _) | (Place::Csi, 0x40..=0x7e) => Place::Ground,
        (Place::Csi, _) => Place::Csi,
        (Place::Text | Place::TextEscape, ESC) => Place::TextEscape,
        (Place::Text, 0x07) | (Place::TextEscape, b'\\') => Place::Ground,
        (Place::Text, _) => Place::Text,
        (Place::TextEscape, _) => step(Place::Escape, byte),
        (Place::Character(1), 0x80..=0xbf) => Place::Ground,
        (Place::Character(left), 0x80..=0xbf) => Place::Character(left - 1),
        (Place::Character(_), ESC) => Place::Escape,
        (Place::Character(_), _) => begin(byte),
    }
}

/// How many more bytes a character of UTF-8 needs after its first.
fn begin(byte: u8) -> Place {
    match byte {
        0xc2..=0xdf => Place::Character(1),
        0xe0..=0xef => Place::Character(2),
        0xf0..=0xf4 => Place::Character(3),
        _ => Place::Ground,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unfinished_is_known_wherever_the_stream_is_cut() {
        let cases: [(&[u8], &[u8]); 16] = [
            (b"", b""),
            (b"plain", b""),
            (b"\x1b", b"\x1b"),
            (b"a\x1b[", b"\x1b["),
            (b"a\x1b[1;3", b"\x1b[1;3"),
            (b"a\x1b[1;31m", b""),
            (b"\x1b[1\x1b[2", b"\x1b[2"),
            (b"\x1b(", b"\x1b("),
            (b"\x1b(B", b""),
            (b"\x1b]0;title", b"\x1b]0;title"),
            (b"\x1b]0;title\x1b", b"\x1b]0;title\x1b"),
            (b"\x1b]0;title\x1b\\", b""),
            (b"\x1b]0;title\x07", b""),
            (b"\x1b[12\x18", b""),
            ("ü".as_bytes().split_at(1).0, b"\xc3"),
            ("€".as_bytes(), b""),
        ];
        for (stream, begun) in cases {
            let mut whole = Partial::default();
            whole.follow(stream);
            assert_eq!(whole.begun(), begun, "{stream:?}");
            let mut bytewise = Partial::default();
            for byte in stream {
                bytewise.follow(&[*byte]);
            }
            assert_eq!(bytewise.begun(), begun, "{stream:?} byte by byte");
        }
    }

    #[test]
    fn an_endless_sequence_holds_no_endless_memory() {
        let mut partial = Partial::default();
        partial.follow(b"\x1bP");
        partial.follow(&vec![b'x'; 10 * LONGEST]);
        assert!(partial.begun().is_empty());
        assert!(partial.begun.len() <= LONGEST + 1);
        partial.follow(b"\x1b\\\x1b[");
        assert_eq!(partial.begun(), b"\x1b[");
    }
}
