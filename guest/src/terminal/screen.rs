//! What a viewer's screen shows now, kept beside the history, so that one who
//! missed output can be brought up to date by drawing it.
//!
//! Pure. Shell output -> `feed` -> a model -> `paint` -> bytes for a viewer.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tracing::warn;
use vt100::Parser;

use super::{partial::Partial, wire::Size};

/// Out of the alternate screen, modes and margins as after a reset, and no
/// mouse: what a viewer had before must not shine through.
const FRESH: &[u8] =
    b"\x1b[?1049l\x1b[!p\x1b[?9l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1005l\x1b[?1006l";
const ENTER_ALTERNATE: &[u8] = b"\x1b[?1049h";
const LEAVE_ALTERNATE: &[u8] = b"\x1b[?1049l";

/// The model of one terminal.
pub(crate) struct Screen {
    parser: Parser,
    partial: Partial,
    /// The sequence that the output stands in; the model has not seen it yet.
    sequence: Vec<u8>,
}

/// Of a sequence; a longer one is no sequence that anybody means.
const LONGEST: usize = 1024;
/// Sequences that do something so many times.
const REPEATING: &[u8] = b"@ABCDEFGHIJKLMPSTXZ`abdef";

impl Screen {
    /// Blank.
    pub(crate) fn new(size: Size) -> Self {
        Self {
            parser: Parser::new(size.rows, size.cols, 0),
            partial: Partial::default(),
            sequence: Vec::new(),
        }
    }

    /// More output.
    pub(crate) fn feed(&mut self, output: &[u8]) {
        let mut plain = 0;
        for (at, byte) in output.iter().enumerate() {
            let within = self.partial.in_sequence();
            self.partial.follow(std::slice::from_ref(byte));
            match (within, self.partial.in_sequence()) {
                (false, false) => {}
                (false, true) => {
                    self.model(&output[plain..at]);
                    self.sequence.push(*byte);
                }
                (true, goes_on) => {
                    if self.sequence.len() <= LONGEST {
                        self.sequence.push(*byte);
                    }
                    if !goes_on {
                        self.model_sequence();
                    }
                    plain = at + 1;
                }
            }
            if self.partial.in_sequence() {
                plain = at + 1;
            }
        }
        self.model(&output[plain..]);
    }

    /// A whole sequence, with no number larger than the screen in those that
    /// repeat: the model would insert 65,535 lines one by one.
    fn model_sequence(&mut self) {
        let mut sequence = std::mem::take(&mut self.sequence);
        if sequence.len() <= LONGEST {
            let (rows, cols) = self.parser.screen().size();
            clamp(&mut sequence, rows.max(cols));
            self.model(&sequence);
        }
        sequence.clear();
        self.sequence = sequence;
    }

    /// A parser that fails on output costs the picture, never the shell: the
    /// next full-screen drawing brings it back.
    fn model(&mut self, output: &[u8]) {
        if output.is_empty() {
            return;
        }
        let parser = &mut self.parser;
        if catch_unwind(AssertUnwindSafe(|| parser.process(output))).is_err() {
            warn!("screen model failed and starts blank");
            let (rows, cols) = self.parser.screen().size();
            self.parser = Parser::new(rows, cols, 0);
        }
    }

    /// The terminal has a new size.
    pub(crate) fn resize(&mut self, size: Size) {
        let parser = &mut self.parser;
        let resized = catch_unwind(AssertUnwindSafe(|| {
            parser.screen_mut().set_size(size.rows, size.cols);
        }));
        if resized.is_err() {
            warn!("screen model failed and starts blank");
            self.parser = Parser::new(size.rows, size.cols, 0);
        }
    }

    /// The last `most` lines down to the lowest that is not blank, as plain text.
    pub(crate) fn last_lines(&self, most: usize) -> Vec<String> {
        let screen = self.parser.screen();
        let (_, cols) = screen.size();
        let mut lines: Vec<String> = screen
            .rows(0, cols)
            .map(|row| row.chars().filter(|char| !char.is_control()).collect())
            .map(|row: String| row.trim_end().to_owned())
            .collect();
        let written = lines.iter().rposition(|line| !line.is_empty());
        lines.truncate(written.map_or(0, |last| last + 1));
        lines.split_off(lines.len().saturating_sub(most))
    }

    /// Draws the present screen on a viewer's, whatever was there before.
    pub(crate) fn paint(&self) -> Vec<u8> {
        let screen = self.parser.screen();
        let mut paint = FRESH.to_vec();
        if screen.alternate_screen() {
            // What lies beneath must be there when the program ends.
            let (rows, cols) = screen.size();
            let mut beneath = Parser::new(rows, cols, 0);
            *beneath.screen_mut() = screen.clone();
            beneath.process(LEAVE_ALTERNATE);
            paint.extend(beneath.screen().contents_formatted());
            paint.extend_from_slice(ENTER_ALTERNATE);
        }
        paint.extend(screen.state_formatted());
        paint.extend_from_slice(self.partial.begun());
        paint
    }
}

/// Makes every number in a repeating sequence at most `most`.
fn clamp(sequence: &mut Vec<u8>, most: u16) {
    let repeats = sequence.starts_with(b"\x1b[")
        && sequence.last().is_some_and(|last| REPEATING.contains(last));
    let long = |run: &[u8]| run.len() > 2;
    if !repeats || !sequence.split(|byte| !byte.is_ascii_digit()).any(long) {
        return;
    }
    let mut clamped = Vec::with_capacity(sequence.len());
    for run in sequence.chunk_by(|a, b| a.is_ascii_digit() == b.is_ascii_digit()) {
        let number = std::str::from_utf8(run)
            .ok()
            .filter(|run| run.starts_with(|first: char| first.is_ascii_digit()));
        match number {
            Some(number) if number.parse::<u16>().is_ok_and(|number| number <= most) => {
                clamped.extend_from_slice(run);
            }
            Some(_) => clamped.extend(most.to_string().bytes()),
            None => clamped.extend_from_slice(run),
        }
    }
    *sequence = clamped;
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: Size = Size { cols: 20, rows: 5 };

    /// What somebody sees who had `before` on the screen, gets the painting
    /// and then what comes next.
    fn seen(before: &[u8], screen: &Screen, after: &[u8]) -> vt100::Screen {
        let mut viewer = Parser::new(SIZE.rows, SIZE.cols, 0);
        viewer.process(before);
        viewer.process(&screen.paint());
        viewer.process(after);
        viewer.screen().clone()
    }

    #[test]
    fn a_painted_screen_is_the_screen_whatever_was_there_before() {
        let outputs: [(&str, &[u8], &[u8]); 7] = [
            ("nothing", b"", b"x"),
            (
                "text and colour",
                b"one\r\n\x1b[31mtwo\x1b[0m\r\nthree",
                b"\r\nfour",
            ),
            (
                "a scrolled screen",
                b"1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7",
                b"\r\n8",
            ),
            ("cursor in the middle", b"abc\x1b[2;3H", b"Z"),
            ("in the middle of a colour", b"abc\x1b[3", b"1mred"),
            ("in the middle of a character", b"\xe2\x82", b"\xac!"),
            (
                "an editor's screen, then its end",
                b"shell$ vi\r\n\x1b[?1049h\x1b[H\x1b[2Jfile",
                b"\x1b[?1049lback",
            ),
        ];
        for (what, output, after) in outputs {
            let mut screen = Screen::new(SIZE);
            screen.feed(output);
            let mut wanted = Parser::new(SIZE.rows, SIZE.cols, 0);
            wanted.process(output);
            wanted.process(after);
            for before in [&b""[..], b"old\r\nstuff\x1b[7m", b"\x1b[?1049hold\x1b[?1h"] {
                let got = seen(before, &screen, after);
                let wanted = wanted.screen();
                assert_eq!(
                    got.contents_formatted(),
                    wanted.contents_formatted(),
                    "{what}"
                );
                assert_eq!(got.cursor_position(), wanted.cursor_position(), "{what}");
                assert_eq!(got.alternate_screen(), wanted.alternate_screen(), "{what}");
            }
        }
    }

    #[test]
    fn the_last_lines_end_where_something_is_written() {
        for (output, most, wanted) in [
            (&b""[..], 3, &[][..]),
            (b"one", 3, &["one"]),
            (
                b"one\r\n\r\n\x1b[31mthree\x1b[0m  \r\n",
                3,
                &["one", "", "three"],
            ),
            (b"1\r\n2\r\n3\r\n4\r\n5\r\n6\r\n7", 2, &["6", "7"]),
            (b"shell\x1b[?1049h\x1b[Hvi", 9, &["vi"]),
            (b"one", 0, &[]),
        ] {
            let mut screen = Screen::new(SIZE);
            screen.feed(output);
            assert_eq!(screen.last_lines(most), wanted, "{output:?}");
        }
    }

    #[test]
    fn numbers_larger_than_the_screen_become_its_size_where_they_repeat() {
        for (sequence, wanted) in [
            ("\x1b[65535L", "\x1b[80L"),
            ("\x1b[5L", "\x1b[5L"),
            ("\x1b[099;99999999999H", "\x1b[80;80H"),
            ("\x1b[80;79H", "\x1b[80;79H"),
            ("\x1b[?1049h", "\x1b[?1049h"),
            ("\x1b[38;2;255;100;200m", "\x1b[38;2;255;100;200m"),
        ] {
            let mut bytes = sequence.as_bytes().to_vec();
            clamp(&mut bytes, 80);
            assert_eq!(String::from_utf8(bytes).unwrap(), wanted);
        }
    }

    #[test]
    fn no_output_and_no_size_harms_the_model() {
        // a small generator: the same bytes in every run
        let mut seed = 0x2545_f491_4f6c_dd1d_u64;
        let mut draw = |bound: usize| {
            seed ^= seed << 13;
            seed ^= seed >> 7;
            seed ^= seed << 17;
            usize::try_from(seed % bound as u64).unwrap()
        };
        let pieces: [&[u8]; 20] = [
            b"\x1b[",
            b"999",
            b";",
            b"H",
            b"\x1b[2J",
            b"\x1b[?1049h",
            b"\x1b[?1049l",
            b"\x1b[r",
            b"\x1b[5;2r",
            b"\x1b[65535L",
            b"\x1b[65535@",
            b"\x1b[M",
            b"\x1bM",
            b"\xe4\xb8\xad",
            b"\xcc\x81",
            b"\r\n",
            b"\t",
            b"\x08",
            b"\xff\xfe",
            b"text",
        ];
        let mut screen = Screen::new(SIZE);
        for _ in 0..20_000 {
            match draw(40) {
                0 => screen.resize(Size {
                    cols: Size::COLS.start() + u16::try_from(draw(30)).unwrap(),
                    rows: Size::ROWS.start() + u16::try_from(draw(10)).unwrap(),
                }),
                1 => assert!(!screen.paint().is_empty()),
                _ => screen.feed(pieces[draw(pieces.len())]),
            }
        }
    }
}
