//! Watches what programs switch on in the learner's terminal, so that leaving in
//! the middle of one can switch it off again. Pure.
//!
//! Sequences are those of xterm (ctlseqs: DECSET, DECRST) and kitty's keyboard
//! protocol.

/// Private modes that outlive their program if nobody resets them, with what is
/// normal: `true` for those that are on by default.
const WATCHED: [(u16, bool); 15] = [
    (1, false),    // application cursor keys
    (25, true),    // the cursor is seen
    (47, false),   // alternate screen, three generations
    (1047, false), //
    (1049, false), //
    (9, false),    // mouse, by generation and coding
    (1000, false),
    (1002, false),
    (1003, false),
    (1005, false),
    (1006, false),
    (1015, false),
    (1004, false), // focus reports
    (2004, false), // bracketed paste
    (2026, false), // synchronized output
];

/// The longest sequence of interest; a longer one is none.
const LONGEST: usize = 64;

/// What is not as it was.
pub(super) struct Modes {
    /// Those of `WATCHED` that are not normal.
    changed: [bool; WATCHED.len()],
    /// Depth of kitty's stack of keyboard modes.
    keyboard: u32,
    /// A sequence that has begun.
    partial: Vec<u8>,
}

impl Modes {
    pub(super) fn new() -> Self {
        Self {
            changed: [false; WATCHED.len()],
            keyboard: 0,
            partial: Vec::new(),
        }
    }

    /// Whether a program has the whole screen.
    pub(super) fn full_screen(&self) -> bool {
        WATCHED
            .iter()
            .zip(self.changed)
            .any(|((mode, _), changed)| changed && matches!(mode, 47 | 1047 | 1049))
    }

    /// Looks at what goes to the screen.
    pub(super) fn see(&mut self, output: &[u8]) {
        for &byte in output {
            match (self.partial.as_slice(), byte) {
                (_, 0x1b) => {
                    self.partial.clear();
                    self.partial.push(byte);
                }
                ([], _) => {}
                ([0x1b], b'[') => self.partial.push(byte),
                ([0x1b], b'c') => *self = Self::new(), // full reset
                ([0x1b], _) => self.partial.clear(),
                (_, 0x20..=0x3f) if self.partial.len() < LONGEST => self.partial.push(byte),
                (_, 0x40..=0x7e) => {
                    let sequence = std::mem::take(&mut self.partial);
                    self.take(&sequence[2..], byte);
                }
                _ => self.partial.clear(),
            }
        }
    }

    fn take(&mut self, parameters: &[u8], end: u8) {
        match (parameters.split_first(), end) {
            (Some((b'?', modes)), b'h' | b'l') => {
                for mode in modes.split(|byte| *byte == b';') {
                    let mode = std::str::from_utf8(mode)
                        .ok()
                        .and_then(|text| text.parse().ok());
                    let known = WATCHED
                        .iter()
                        .position(|(watched, _)| Some(*watched) == mode);
                    if let Some(at) = known {
                        self.changed[at] = (end == b'h') != WATCHED[at].1;
                    }
                }
            }
            (Some((b'>', _)), b'u') => self.keyboard = self.keyboard.saturating_add(1),
            (Some((b'<', count)), b'u') => {
                let count = std::str::from_utf8(count)
                    .ok()
                    .and_then(|text| text.parse().ok());
                self.keyboard = self.keyboard.saturating_sub(count.unwrap_or(1));
            }
            (Some((b'!', _)), b'p') => *self = Self::new(), // soft reset
            _ => {}
        }
    }

    /// What puts everything back, and nothing that would disturb a screen on
    /// which all is as it was.
    pub(super) fn restore(&self) -> String {
        use std::fmt::Write as _;
        let mut text = String::new();
        if self.keyboard > 0 {
            let _ = write!(text, "\x1b[<{}u", self.keyboard.min(999));
        }
        for ((mode, normal), changed) in WATCHED.iter().zip(self.changed) {
            if changed {
                let _ = write!(text, "\x1b[?{mode}{}", if *normal { 'h' } else { 'l' });
            }
        }
        // Colours, and a keypad that speaks digits.
        text.push_str("\x1b[0m\x1b>");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = "\x1b[0m\x1b>";

    #[test]
    fn what_was_switched_on_is_switched_off() {
        for (seen, restore) in [
            ("hello\x1b[31mred\x1b[2J", ""),
            ("\x1b[?1049h", "\x1b[?1049l"),
            ("\x1b[?1049h\x1b[?1049l", ""),
            ("\x1b[?25l", "\x1b[?25h"),
            (
                "\x1b[?1000;1006h\x1b[?2004h",
                "\x1b[?1000l\x1b[?1006l\x1b[?2004l",
            ),
            ("\x1b[>1u\x1b[>5u", "\x1b[<2u"),
            ("\x1b[>1u\x1b[<u", ""),
            ("\x1b[?1049h\x1bc", ""),
            ("\x1b[?99999999999h\x1b[?h\x1b[;;h", ""),
        ] {
            let mut modes = Modes::new();
            modes.see(seen.as_bytes());
            assert_eq!(modes.restore(), format!("{restore}{PLAIN}"), "{seen:?}");
            let mut modes = Modes::new();
            for byte in seen.bytes() {
                modes.see(&[byte]);
            }
            assert_eq!(
                modes.restore(),
                format!("{restore}{PLAIN}"),
                "{seen:?} byte by byte"
            );
        }
    }

    #[test]
    fn an_endless_sequence_is_none() {
        let mut modes = Modes::new();
        modes.see(b"\x1b[?");
        modes.see(&[b'1'; 1000]);
        modes.see(b"\x1b[?1049h");
        assert!(modes.full_screen());
        assert!(modes.partial.is_empty());
    }
}
