//! `clarateach-agent check`: looks, says in plain words, changes nothing.
//!
//! Way: what was asked -> [`host`] (can this host run seats?), [`seat`] (how is
//! one MicroVM held?) or [`network`] (do a worker's walls stand?) -> lines -> text
//! or JSON, and 0 or 1. No line waits for another: whoever repairs a host sees all
//! that is missing at once.

mod elf;
mod host;
mod line;
mod network;
mod seat;

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, Read as _, Write as _},
    path::Path,
    process::ExitCode,
};

use anyhow::Context as _;
use ring::digest;

use self::line::Line;
use crate::config::CheckArgs;

/// Answers what was asked on standard output.
pub(crate) fn run(asked: &CheckArgs) -> ExitCode {
    match answer(asked) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // Nobody reads standard output any more, or there is no such seat.
            writeln!(io::stderr(), "clarateach-agent check: {error:#}").ok();
            ExitCode::FAILURE
        }
    }
}

fn answer(asked: &CheckArgs) -> anyhow::Result<bool> {
    let lines = match (asked.seat, &asked.run_dir) {
        (only, Some(run_dir)) if asked.network => network::lines(run_dir, only, asked.server)?,
        (Some(seat), Some(run_dir)) => seat::lines(seat, run_dir, &asked.host)?,
        _ => host::lines(asked.runtime, &asked.host),
    };
    let text = if asked.json {
        line::json(&lines)?
    } else {
        line::text(&lines) + &verdict(asked, &lines)
    };
    writeln!(io::stdout(), "{text}").context("could not print")?;
    Ok(line::all_well(&lines))
}

/// The whole in one sentence.
fn verdict(asked: &CheckArgs, lines: &[Line]) -> String {
    let bad = lines.iter().filter(|line| line.verdict.is_bad()).count();
    match (asked.seat, bad) {
        (_, 0) if asked.network => "The walls of this worker stand.".to_owned(),
        (_, bad) if asked.network => {
            format!("The walls of this worker do not stand as they should: {bad} FAILS.")
        }
        (Some(seat), 0) => format!("Seat {seat} is confined in every way that this host has."),
        (Some(seat), bad) => format!("Seat {seat} is not confined as it should be: {bad} FAILS."),
        (None, 0) => format!("This host can run seats by {}.", asked.runtime),
        (None, bad) => format!(
            "This host cannot run seats by {} yet: {bad} of the lines above say why.",
            asked.runtime
        ),
    }
}

/// The sum of a whole file, in hex. Blocks.
fn sha256(path: &Path) -> anyhow::Result<String> {
    let unreadable = || format!("could not read {}", path.display());
    let mut file = File::open(path).with_context(unreadable)?;
    let mut sums = digest::Context::new(&digest::SHA256);
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece).with_context(unreadable)? {
            0 => break,
            read => sums.update(&piece[..read]),
        }
    }
    let mut hex = String::new();
    for byte in sums.finish().as_ref() {
        write!(hex, "{byte:02x}").ok();
    }
    Ok(hex)
}
