//! Programs and files of this host.

use std::{fs::File, io::Read as _, path::Path, process::Command};

use anyhow::{Context as _, bail, ensure};

use super::super::line::{Line, Verdict};

/// A program that can be started, and the first line it says about itself.
pub(super) fn program(
    name: &'static str,
    command: &'static str,
    ask: &'static str,
    advice: &str,
) -> Line {
    Line::of(name, first_line(command, ask), Verdict::Missing).otherwise(advice)
}

/// What the program answers; some answer on standard error.
pub(super) fn first_line(command: &str, ask: &str) -> anyhow::Result<String> {
    let said = Command::new(command)
        .arg(ask)
        .output()
        .with_context(|| format!("{command} could not be started"))?;
    ensure!(
        said.status.success(),
        "{command} {ask} ended with {}",
        said.status
    );
    let all = [said.stdout, said.stderr].concat();
    let all = String::from_utf8_lossy(&all);
    let Some(first) = all.lines().map(str::trim).find(|line| !line.is_empty()) else {
        bail!("{command} {ask} said nothing");
    };
    Ok(first.to_owned())
}

/// The file's name and size, if it can be read and holds something.
pub(super) fn readable(path: &Path) -> anyhow::Result<String> {
    let mut file =
        File::open(path).with_context(|| format!("could not open {}", path.display()))?;
    file.read_exact(&mut [0])
        .with_context(|| format!("{} is empty", path.display()))?;
    let size = file.metadata().map_or(0, |file| file.len());
    Ok(format!(
        "{} ({} MiB)",
        path.display(),
        size.div_ceil(1 << 20)
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_not_there_is_missing_and_said_how_to_get() {
        let line = program("x", "no-such-program", "--version", "get it");
        assert_eq!(line.verdict, Verdict::Missing);
        assert_eq!(line.advice, "get it");
        let line = program("x", "false", "--version", "get it");
        assert_eq!(line.verdict, Verdict::Missing, "it ends with an error");
        assert_eq!(program("x", "echo", "1.2", "").found, "1.2");
        assert!(first_line("true", "").is_err(), "it says nothing");
    }

    #[test]
    fn an_empty_file_is_as_good_as_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("kernel");
        assert!(readable(&file).is_err());
        std::fs::write(&file, "").unwrap();
        assert!(readable(&file).is_err());
        std::fs::write(&file, "x").unwrap();
        assert!(readable(&file).unwrap().ends_with("(1 MiB)"));
    }
}
