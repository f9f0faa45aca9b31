//! Workshops on stdout: a table, JSON as the server's own JSON face has it, or ids.

use std::time::SystemTime;

use clarateach_proto::{
    json::{self, word},
    workshop::Workshop,
};
use serde_json::json;

use crate::{
    config::{Format, Show},
    failure::Failure,
    output::{ago, columns, list, plain, pretty, print},
};

const NARROW: [&str; 5] = ["ID", "NAME", "STATUS", "SEATS", "CODE"];
const WIDE: [&str; 4] = ["RUNTIME", "OWNER", "ENDS", "REASON"];

/// A status in one lower-case word.
pub(super) fn status(workshop: &Workshop) -> String {
    word(workshop.status().as_str_name(), "WORKSHOP_STATUS_")
}

pub(super) fn many(all: &[Workshop], show: Show) -> Result<(), Failure> {
    let now = SystemTime::now();
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|one| {
            vec![
                one.id.clone(),
                plain(&one.name),
                status(one),
                one.seats.to_string(),
                one.code.clone(),
                word(one.runtime().as_str_name(), "RUNTIME_"),
                plain(&one.owner),
                ago(one.expires_at.as_ref(), now),
                plain(&one.reason),
            ]
        })
        .collect();
    list(
        show,
        &NARROW,
        &WIDE,
        &rows,
        || json!({ "workshops": all.iter().map(json::workshop).collect::<Vec<_>>() }),
    )
}

/// The row alone; JSON has everything all the same.
pub(super) fn brief(workshop: &Workshop, show: Show) -> Result<(), Failure> {
    match show.output {
        Format::Json => print(&pretty(&json::workshop(workshop))),
        Format::Table | Format::Wide | Format::Name => many(std::slice::from_ref(workshop), show),
    }
}

/// The row, and below it what else there is to know.
pub(super) fn one(workshop: &Workshop, cost: Option<String>, show: Show) -> Result<(), Failure> {
    brief(workshop, show)?;
    if matches!(show.output, Format::Json | Format::Name) {
        return Ok(());
    }
    let mut details = details(workshop);
    if let Some(cost) = cost {
        details.push(vec!["cost".into(), cost]);
    }
    print(&format!("\n{}", columns(&details)))?;
    if workshop.seat_list.is_empty() {
        return Ok(());
    }
    print("")?;
    crate::seats::print_all(&workshop.seat_list, show)
}

fn details(workshop: &Workshop) -> Vec<Vec<String>> {
    let now = SystemTime::now();
    let mut rows = vec![
        vec!["made".into(), ago(workshop.created_at.as_ref(), now)],
        vec!["ends".into(), ago(workshop.expires_at.as_ref(), now)],
    ];
    let mut say = |name: &str, text: String| {
        if !text.is_empty() {
            rows.push(vec![name.to_owned(), text]);
        }
    };
    say("reason", plain(&workshop.reason));
    if let Some(egress) = &workshop.egress {
        let mode = word(egress.mode().as_str_name(), "MODE_");
        say(
            "egress",
            format!("{mode} {}", plain(&egress.allow.join(", ")))
                .trim()
                .to_owned(),
        );
    }
    for worker in &workshop.workers {
        let state = word(worker.state().as_str_name(), "WORKER_STATE_");
        let line = [
            &worker.name,
            &state,
            &worker.address,
            &worker.reason,
            &worker.network,
        ];
        let line: Vec<String> = line.iter().map(|part| plain(part)).collect();
        say("worker", line.join("  ").trim_end().to_owned());
    }
    rows
}
