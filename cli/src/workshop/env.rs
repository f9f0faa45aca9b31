//! A file of NAME=VALUE lines: secrets have no place among arguments.

use std::{collections::HashMap, fs, path::Path};

use crate::failure::{Exit, Failure};

pub(super) fn read(file: &Path) -> Result<HashMap<String, String>, Failure> {
    let text = fs::read_to_string(file)
        .map_err(|error| Failure::io(format!("could not read {}", file.display()), error))?;
    parse(&text).map_err(|line| {
        Failure::new(
            Exit::Usage,
            format!("line {line} of {} is not NAME=VALUE", file.display()),
        )
    })
}

/// Pure. Empty lines and those that begin with # say nothing; a value is taken as it stands,
/// without the quotes that are around all of it. The number of a line that is wrong.
fn parse(text: &str) -> Result<HashMap<String, String>, usize> {
    let mut all = HashMap::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').ok_or(number + 1)?;
        let name = name.strip_prefix("export ").unwrap_or(name).trim();
        if name.is_empty() {
            return Err(number + 1);
        }
        let value = value.trim();
        let whole = ['"', '\'']
            .iter()
            .find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
        all.insert(name.to_owned(), whole.unwrap_or(value).to_owned());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_names_and_values() {
        let text = "# course\n\nA=1\nexport B=two words\nC=\"x=y\"\nD='q'\nE=\n";
        let all = parse(text).unwrap();
        for (name, value) in [
            ("A", "1"),
            ("B", "two words"),
            ("C", "x=y"),
            ("D", "q"),
            ("E", ""),
        ] {
            assert_eq!(all[name], value, "{name}");
        }
        assert_eq!(parse("A=1\nnonsense\n"), Err(2));
        assert_eq!(parse("=1"), Err(1));
    }
}
