//! One line of an answer: what was looked at, what it is worth, what was found
//! and what to do.
//!
//! Way: an act that may fail -> [`Line`] -> [`text`] for people, [`json`] for
//! programs.

use std::fmt::{self, Write as _};

use serde::{Serialize, Serializer};

/// What a line is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The host has it.
    Ok,
    /// Seats can run, but not as well or as safely as they might.
    Warn,
    /// The host does not have it, and needs it.
    Missing,
    /// The host has it, and it cannot be used.
    Wrong,
    /// The MicroVM is confined in this way.
    Holds,
    /// It is not, though it could be: a fault of this software or of whoever
    /// touched the machine since.
    Fails,
    /// This host has no such thing, or it is for whoever runs the host to decide.
    NotHere,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warn => "WARN",
            Self::Missing => "MISSING",
            Self::Wrong => "WRONG",
            Self::Holds => "HOLDS",
            Self::Fails => "FAILS",
            Self::NotHere => "NOT-HERE",
        }
    }

    /// Whether it makes the whole answer a no.
    pub(super) fn is_bad(self) -> bool {
        match self {
            Self::Missing | Self::Wrong | Self::Fails => true,
            Self::Ok | Self::Warn | Self::Holds | Self::NotHere => false,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.pad(self.word())
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(self.word())
    }
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Line {
    /// Which item of the list of hardenings it belongs to, 1 to 13; none for a
    /// host's lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) item: Option<u8>,
    /// Of a word or two, the same on every host.
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    pub(super) found: String,
    /// What to do about it, or why it is not here; may be empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) advice: String,
}

impl Line {
    pub(super) fn new(name: &'static str, verdict: Verdict, found: impl Into<String>) -> Self {
        Self {
            item: None,
            name,
            verdict,
            found: found.into(),
            advice: String::new(),
        }
    }

    /// The act succeeded, or it did not and is worth `otherwise`.
    pub(super) fn of(
        name: &'static str,
        looked: anyhow::Result<String>,
        otherwise: Verdict,
    ) -> Self {
        match looked {
            Ok(found) => Self::new(name, Verdict::Ok, found),
            Err(error) => Self::new(name, otherwise, format!("{error:#}")),
        }
    }

    /// A hardening that holds, or does not.
    pub(super) fn holds(item: u8, name: &'static str, looked: anyhow::Result<String>) -> Self {
        Self {
            item: Some(item),
            ..Self::stands(name, looked)
        }
    }

    /// The same, of no list.
    pub(super) fn stands<E: fmt::Display>(name: &'static str, looked: Result<String, E>) -> Self {
        match looked {
            Ok(found) => Self::new(name, Verdict::Holds, found),
            Err(error) => Self::new(name, Verdict::Fails, format!("{error:#}")),
        }
    }

    /// A hardening that this host does not have.
    pub(super) fn not_here(
        item: u8,
        name: &'static str,
        found: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self {
            item: Some(item),
            ..Self::is_not_here(name, found, why)
        }
    }

    /// The same, of no list.
    pub(super) fn is_not_here(
        name: &'static str,
        found: impl Into<String>,
        why: impl Into<String>,
    ) -> Self {
        Self::new(name, Verdict::NotHere, found).advise(why)
    }

    /// With what to do about it.
    pub(super) fn advise(self, advice: impl Into<String>) -> Self {
        Self {
            advice: advice.into(),
            ..self
        }
    }

    /// With what to do about it unless all is well.
    pub(super) fn otherwise(self, advice: &str) -> Self {
        match self.verdict {
            Verdict::Ok | Verdict::Holds => self,
            Verdict::Warn
            | Verdict::Missing
            | Verdict::Wrong
            | Verdict::Fails
            | Verdict::NotHere => self.advise(advice),
        }
    }
}

/// Whether the answer is a yes.
pub(super) fn all_well(lines: &[Line]) -> bool {
    !lines.iter().any(|line| line.verdict.is_bad())
}

/// For people: a line each, and what to do below it.
pub(super) fn text(lines: &[Line]) -> String {
    let longest = lines.iter().map(|line| line.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for line in lines {
        let item = line
            .item
            .map_or(String::new(), |item| format!("{item:>2} "));
        let start = format!("{:<8} {item}{:<longest$}  ", line.verdict, line.name);
        writeln!(text, "{start}{}", line.found).ok();
        if !line.advice.is_empty() {
            writeln!(text, "{:width$}-> {}", "", line.advice, width = start.len()).ok();
        }
    }
    text
}

/// For programs.
pub(super) fn json(lines: &[Line]) -> serde_json::Result<String> {
    let answer = serde_json::json!({ "ok": all_well(lines), "lines": lines });
    serde_json::to_string_pretty(&answer)
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn one_missing_part_makes_the_answer_a_no_and_hides_no_other() {
        let well = Line::of("kvm", Ok("version 12".to_owned()), Verdict::Missing);
        let none = Line::of("runc", Err(anyhow!("none")), Verdict::Missing).otherwise("get it");
        assert!(all_well(std::slice::from_ref(&well)));
        let lines = [well.clone().otherwise("never seen"), none, well];
        assert!(!all_well(&lines));
        assert_eq!(
            text(&lines),
            "OK       kvm   version 12\n\
             MISSING  runc  none\n\
             \x20              -> get it\n\
             OK       kvm   version 12\n"
        );
    }

    #[test]
    fn a_program_reads_the_same_words() {
        let lines = [
            Line::holds(4, "seccomp", Ok("3 threads".to_owned())),
            Line::holds(5, "limits", Err(anyhow!("unlimited"))),
            Line::not_here(13, "smt", "on", "the host's"),
        ];
        let read: serde_json::Value = serde_json::from_str(&json(&lines).unwrap()).unwrap();
        assert_eq!(read["ok"], false);
        let verdicts: Vec<_> = (0..3).map(|at| &read["lines"][at]["verdict"]).collect();
        assert_eq!(verdicts, ["HOLDS", "FAILS", "NOT-HERE"]);
        assert_eq!(read["lines"][2]["item"], 13);
        assert_eq!(read["lines"][2]["advice"], "the host's");
        assert_eq!(read["lines"][0].get("advice"), None);
    }
}
