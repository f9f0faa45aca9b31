//! What a seat's machine logged, and goes on to log.
//!
//! The server has the end of it alone, so following is asking again for what is new.

use std::time::Duration;

use clarateach_proto::workshop::GetSeatLogRequest;
use tokio::time::sleep;

use crate::{
    api::Workshops,
    failure::{Exit, Failure},
    interrupt,
    output::{plain, print},
};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// What is told while a machine is made anew, or nobody answers.
const AWAY: [u8; 2] = [Exit::Conflict as u8, Exit::Unreachable as u8];
/// So much of an end is known again in a log whose beginning is gone, in bytes.
const KNOWN: usize = 2048;

pub(super) async fn run(
    mut workshops: Workshops,
    id: String,
    seat: u32,
    follow: bool,
) -> Result<(), Failure> {
    let first = read(&mut workshops, &id, seat).await?;
    if !follow {
        return print_lines(&first);
    }
    let mut seen = whole_lines(&first).to_owned();
    print_lines(&seen)?;
    interrupt::or_stop(async {
        loop {
            sleep(EVERY).await;
            let now = match read(&mut workshops, &id, seat).await {
                // A machine or a worker that is away comes back, and its log with it.
                Err(why) if AWAY.contains(&why.exit()) => continue,
                now => now?,
            };
            let now = whole_lines(&now);
            print_lines(news(&seen, now))?;
            now.clone_into(&mut seen);
        }
    })
    .await
}

async fn read(workshops: &mut Workshops, id: &str, seat: u32) -> Result<String, Failure> {
    let request = GetSeatLogRequest {
        workshop_id: id.to_owned(),
        seat,
    };
    let log = workshops.get_seat_log(request).await.map_err(|status| {
        Failure::status(format!("could not read the log of seat {seat}"), &status)
    })?;
    Ok(log.into_inner().log)
}

/// Without a line that is not written to its end.
fn whole_lines(text: &str) -> &str {
    text.rfind('\n').map_or("", |end| &text[..=end])
}

/// The lines are the machine's own: a learner may have written them.
fn print_lines(text: &str) -> Result<(), Failure> {
    if text.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> = text.lines().map(plain).collect();
    print(&lines.join("\n"))
}

/// What `now` has beyond what was `seen` of the same log, whose beginning may be gone by now.
fn news<'a>(seen: &str, now: &'a str) -> &'a str {
    if let Some(more) = now.strip_prefix(seen) {
        return more;
    }
    let from = seen.ceil_char_boundary(seen.len().saturating_sub(KNOWN));
    let end = &seen[from..];
    now.rfind(end).map_or(now, |at| &now[at + end.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_of_a_log_is_told() {
        let long = "a line of a log\n".repeat(1000) + "the last\n";
        for (seen, now, told) in [
            ("", "one\n", "one\n"),
            ("one\n", "one\ntwo\n", "two\n"),
            ("one\n", "one\n", ""),
            ("one\n", "another machine\n", "another machine\n"),
            (&long, &format!("{}more\n", &long[5000..]), "more\n"),
            (&long, &long[5000..], ""),
        ] {
            assert_eq!(news(seen, now), told);
        }
    }
}
