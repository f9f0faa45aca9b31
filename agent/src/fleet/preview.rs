//! What a seat's terminal shows, for whoever looks over a class.
//!
//! Way: a guest's words -> as far as they can be true -> [`Preview`]. The learner may be
//! root in the guest, so nothing of it is believed to be short, or text.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clarateach_proto::guest;
use tracing::debug;

use super::{handle::Preview, seat::moment};
use crate::control::Control;

/// How long a guest may take: it is asked again soon.
const WITHIN: Duration = Duration::from_secs(2);

/// Asks a guest; `None` when it does not say.
pub(super) async fn ask(control: &Control) -> Option<Preview> {
    let lines = u32::try_from(Preview::LINES).unwrap_or(u32::MAX);
    match control.preview(lines, WITHIN).await {
        Ok(said) => Some(believable(said, Utc::now())),
        Err(error) => {
            debug!(%error, "guest did not say what its terminal shows");
            None
        }
    }
}

fn believable(said: guest::Preview, now: DateTime<Utc>) -> Preview {
    let lines = said.lines.into_iter().take(Preview::LINES);
    let text = |line: String| {
        line.chars()
            .filter(|c| !c.is_control())
            .take(Preview::WIDTH)
            .collect()
    };
    let terminals = said.terminals.into_iter().filter(|name| is_name(name));
    Preview {
        lines: lines.map(text).collect(),
        changed_at: moment(said.changed_unix_millis, now),
        terminals: terminals.take(Preview::TERMINALS).collect(),
    }
}

/// Whether a terminal can have this name.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    (1..=32).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_shown_stays_with_the_guest() {
        let now = Utc::now();
        let said = guest::Preview {
            lines: [&["\u{1b}[31mred\u{7}", "x"][..], &["y"; 20]]
                .concat()
                .iter()
                .map(|line| line.repeat(if *line == "x" { 5000 } else { 1 }))
                .collect(),
            changed_unix_millis: i64::MAX,
            terminals: vec!["main".into(), "<b>".into(), "x".repeat(33), "t-2".into()],
        };
        let shown = believable(said, now);
        assert_eq!(shown.lines.len(), Preview::LINES);
        assert_eq!(shown.lines[0], "[31mred");
        assert_eq!(shown.lines[1].len(), Preview::WIDTH);
        assert_eq!(shown.changed_at, None);
        assert_eq!(shown.terminals, ["main", "t-2"]);
    }
}
