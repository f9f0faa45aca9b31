//! Text that people give: bounded, and free of what breaks terminals and logs.

/// Why a text is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// Nothing but white space.
    #[error("must not be empty")]
    Empty,
    /// More characters than allowed.
    #[error("must have at most {0} characters")]
    TooLong(usize),
    /// A control character, line break or text-direction override.
    #[error("must not contain control characters")]
    Control,
}

/// A single line of 1 to `max` characters, trimmed.
pub fn line(text: &str, max: usize) -> Result<String, BadText> {
    let text = optional_line(text, max)?;
    if text.is_empty() {
        return Err(BadText::Empty);
    }
    Ok(text)
}

/// As [`line()`], or nothing.
pub fn optional_line(text: &str, max: usize) -> Result<String, BadText> {
    // Looked at before trimming: trailing line breaks are control characters too.
    if text.chars().any(unfit) {
        return Err(BadText::Control);
    }
    let text = text.trim();
    if text.chars().count() > max {
        return Err(BadText::TooLong(max));
    }
    Ok(text.to_owned())
}

/// Control characters, line and paragraph separators, and the bidirectional
/// overrides with which one name can pose as another.
fn unfit(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lines_within_bounds() {
        let long = "x".repeat(101);
        for (text, want) in [
            ("Python 101", Ok("Python 101".to_owned())),
            ("  héllo ", Ok("héllo".to_owned())),
            ("", Err(BadText::Empty)),
            ("   ", Err(BadText::Empty)),
            ("a\nb", Err(BadText::Control)),
            ("a\u{1b}[31m", Err(BadText::Control)),
            ("a\u{202e}b", Err(BadText::Control)),
            (long.as_str(), Err(BadText::TooLong(100))),
        ] {
            assert_eq!(line(text, 100), want, "{text:?}");
        }
        assert_eq!(line(&"ü".repeat(100), 100).unwrap().chars().count(), 100);
        assert_eq!(optional_line("", 64).unwrap(), "");
    }
}
