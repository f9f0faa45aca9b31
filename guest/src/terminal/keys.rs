//! Tells what a person typed from what their terminal answered by itself.
//!
//! Pure. A program may ask a terminal for its colours, its cursor, its kind;
//! every viewer's terminal answers, unasked by its owner. Such answers are no
//! keystrokes: they do not make anybody the driver, and from others than the
//! driver they would reach the program twice.

const ESC: u8 = 0x1b;

/// Whether anything in `input` was typed, pasted or clicked by a person.
pub(crate) fn is_typed(input: &[u8]) -> bool {
    let mut rest = input;
    // Ends: each round takes at least one byte off the front.
    while !rest.is_empty() {
        match automatic(rest) {
            Some(length) => rest = &rest[length..],
            None => return true,
        }
    }
    false
}

/// The length of an automatic answer at the front, if there is one.
fn automatic(input: &[u8]) -> Option<usize> {
    match input {
        [ESC, b'[', rest @ ..] => csi(rest).map(|length| length + 2),
        [ESC, b']' | b'P', rest @ ..] => text(rest).map(|length| length + 2),
        _ => None,
    }
}

/// Cursor place, device kind, mode and size reports, focus in and out, and
/// the pointer passing over.
fn csi(rest: &[u8]) -> Option<usize> {
    let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte))?;
    let (parameters, last) = (&rest[..end], rest[end]);
    let numbers = |from: usize| {
        let numbers = &parameters[from.min(parameters.len())..];
        !numbers.is_empty()
            && numbers
                .iter()
                .all(|byte| byte.is_ascii_digit() || *byte == b';')
    };
    let report = match (parameters.first(), last) {
        (None, b'I' | b'O') | (Some(b'?' | b'>' | b'='), b'c') => true,
        (Some(b'?'), b'R' | b'n' | b'u') => numbers(1),
        (Some(b'?' | b'0'..=b'9'), b'y') => parameters.ends_with(b"$"),
        // F3 with a modifier is `1;5R`: a row of 1 is taken for a key.
        (Some(b'0'..=b'9'), b'R') => {
            numbers(0) && parameters.contains(&b';') && !parameters.starts_with(b"1;")
        }
        (Some(b'0'..=b'9'), b'n' | b't') => numbers(0),
        (Some(b'<'), b'M' | b'm') => moves(&parameters[1..]),
        _ => false,
    };
    report.then_some(end + 1)
}

/// A pointer report of movement with no button pressed: bits 5 and 0–1.
fn moves(parameters: &[u8]) -> bool {
    let button = parameters
        .split(|byte| *byte == b';')
        .next()
        .unwrap_or_default();
    std::str::from_utf8(button)
        .ok()
        .and_then(|digits| digits.parse::<u16>().ok())
        .is_some_and(|button| button & 0b10_0011 == 0b10_0011)
}

/// A colour, clipboard or capability answer, up to its end.
fn text(rest: &[u8]) -> Option<usize> {
    let end = rest.iter().position(|byte| matches!(*byte, 0x07 | ESC))?;
    match rest[end..] {
        [0x07, ..] => Some(end + 1),
        [ESC, b'\\', ..] => Some(end + 2),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_and_a_terminal_are_told_apart() {
        let cases: [(&str, &[u8], bool); 24] = [
            ("nothing", b"", false),
            ("a letter", b"a", true),
            ("enter", b"\r", true),
            ("Ctrl-C", b"\x03", true),
            ("Escape alone", b"\x1b", true),
            ("Alt-f", b"\x1bf", true),
            ("arrow up", b"\x1b[A", true),
            ("arrow up, application mode", b"\x1bOA", true),
            ("F5", b"\x1b[15~", true),
            ("Ctrl-F3", b"\x1b[1;5R", true),
            ("Ctrl-right", b"\x1b[1;5C", true),
            ("a paste", b"\x1b[200~ls\x1b[201~", true),
            ("cursor report", b"\x1b[12;40R", false),
            ("device attributes", b"\x1b[?1;2c", false),
            ("secondary attributes", b"\x1b[>0;276;0c", false),
            ("mode report", b"\x1b[?2026;2$y", false),
            ("focus in, focus out", b"\x1b[I\x1b[O", false),
            (
                "background colour",
                b"\x1b]11;rgb:0000/0000/0000\x1b\\",
                false,
            ),
            ("version answer", b"\x1bP>|xterm.js(5)\x1b\\", false),
            ("pointer passing", b"\x1b[<35;10;4M", false),
            ("a click", b"\x1b[<0;10;4M", true),
            ("a report and a key", b"\x1b[12;40Rq", true),
            ("status ok", b"\x1b[0n", false),
            ("an answer without an end", b"\x1b]11;rgb", true),
        ];
        for (what, input, typed) in cases {
            assert_eq!(is_typed(input), typed, "{what}");
        }
    }
}
