//! stdout for data, stderr for people.

use std::io::{self, Write};

use crate::failure::Failure;

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
    let mut widths = Vec::new();
    for row in rows {
        for (at, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(at) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
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
    fn names_cannot_drive_the_terminal() {
        assert_eq!(plain("a\x1b[2J\u{9b}b\n"), "a[2Jb");
    }
}
