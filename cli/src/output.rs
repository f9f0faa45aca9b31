//! stdout for data, stderr for people.

use std::io::{self, Write};

use comfy_table::{Table, presets};

use crate::{
    config::{Format, Show},
    failure::Failure,
};

/// A line for people.
pub(crate) fn tell(line: &str) {
    // Nobody to tell is nothing to fail on.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Lines of data.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::fault("could not write the answer", error))
}

/// Columns as wide as their widest cell, two spaces apart, no borders.
pub(crate) fn columns(rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_rows(rows);
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

/// JSON as people read it.
pub(crate) fn pretty(value: &serde_json::Value) -> String {
    format!("{value:#}")
}

/// A list in any of the formats: `rows` are narrow cells and then the wide ones,
/// `name` is the first.
pub(crate) fn list(
    show: Show,
    narrow: &[&str],
    wide: &[&str],
    rows: &[Vec<String>],
    json: impl FnOnce() -> serde_json::Value,
) -> Result<(), Failure> {
    match show.output {
        Format::Json => print(&pretty(&json())),
        Format::Name if rows.is_empty() => Ok(()),
        Format::Name => {
            let names: Vec<&str> = rows
                .iter()
                .filter_map(|row| row.first())
                .map(String::as_str)
                .collect();
            print(&names.join("\n"))
        }
        Format::Table | Format::Wide => {
            let wanted = if show.output == Format::Wide {
                narrow.len() + wide.len()
            } else {
                narrow.len()
            };
            let mut cells = Vec::new();
            if !show.no_headers {
                cells.push(
                    narrow
                        .iter()
                        .chain(wide)
                        .map(ToString::to_string)
                        .take(wanted)
                        .collect(),
                );
            }
            cells.extend(
                rows.iter()
                    .map(|row| row.iter().take(wanted).cloned().collect::<Vec<_>>()),
            );
            if cells.is_empty() {
                return Ok(());
            }
            print(&columns(&cells))
        }
    }
}

/// A moment as people say it: how long ago, or in how long.
pub(crate) fn ago(at: Option<&prost_types::Timestamp>, now: std::time::SystemTime) -> String {
    let Some(at) = at else {
        return "-".into();
    };
    let now = now
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| {
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
        });
    let seconds = now.saturating_sub(at.seconds);
    let size = seconds.unsigned_abs();
    let text = match size {
        0..60 => format!("{size}s"),
        60..3_600 => format!("{}m", size / 60),
        3_600..172_800 => format!("{}h{:02}m", size / 3_600, size % 3_600 / 60),
        _ => format!("{}d", size / 86_400),
    };
    if seconds < 0 {
        format!("in {text}")
    } else {
        format!("{text} ago")
    }
}

/// `1 file`, `2 files`.
pub(crate) fn count(number: usize, one: &str) -> String {
    let s = if number == 1 { "" } else { "s" };
    format!("{number} {one}{s}")
}

/// A size as people say it.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

/// Text from elsewhere, safe on a terminal: no control characters.
pub(crate) fn plain(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [
            vec!["ID".into(), "NAME".into()],
            vec!["ws-1".into(), "x".into()],
        ];
        assert_eq!(columns(&rows), "ID    NAME\nws-1  x");
    }

    #[test]
    fn wide_letters_keep_the_columns() {
        let rows = [
            vec!["名前".to_owned(), "x".into()],
            vec!["ab".into(), "y".into()],
        ];
        assert_eq!(columns(&rows), "名前  x\nab    y");
    }

    #[test]
    fn moments_are_said_as_people_do() {
        let now = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        for (seconds, said) in [
            (1_000_000, "0s ago"),
            (999_990, "10s ago"),
            (999_000, "16m ago"),
            (1_000_000 + 5_400, "in 1h30m"),
            (0, "11d ago"),
        ] {
            let at = prost_types::Timestamp { seconds, nanos: 0 };
            assert_eq!(ago(Some(&at), now), said, "{seconds}");
        }
        assert_eq!(ago(None, now), "-");
    }

    #[test]
    fn names_cannot_drive_the_terminal() {
        assert_eq!(plain("a\x1b[2J\u{9b}b\n"), "a[2Jb");
    }
}
